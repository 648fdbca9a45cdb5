package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/strongroom/strongroom/internal/deadline"
	"github.com/strongroom/strongroom/internal/store"
)

// nodeRecord says of a node of a database whether there may be audit records on its
// disk alone, and where that disk is.
type nodeRecord struct {
	Host   string `json:"host"`
	Folder string `json:"folder"`
	// Sending is set before the node takes its first record, and no more when it has
	// sent all and stops.
	Sending bool `json:"sending"`
}

// nodeRecords are kept under the nodes' names.
var nodeRecords = store.NewCollection[nodeRecord]("nodes", 1)

// enter says in the database that this node takes audit records.
func (s *Server) enter(ctx context.Context, name string) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	folder, err := filepath.Abs(s.cfg.DataDir)
	if err != nil {
		return err
	}
	return s.noteNode(ctx, name, nodeRecord{Host: host, Folder: folder, Sending: true})
}

// noteNode writes a node's record if it says something else.
func (s *Server) noteNode(ctx context.Context, name string, want nodeRecord) error {
	is := func() (same bool, err error) {
		err = s.store.View(ctx, func(r store.Reader) error {
			found, err := nodeRecords.Get(r, store.Deployment, name)
			same = err == nil && found == want
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		})
		return same, err
	}
	if same, err := is(); same || err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, deadline.Waiting)
	defer cancel()
	err := s.store.Update(bounded, func(tx *store.Tx) error {
		return nodeRecords.Put(tx, store.Deployment, name, want)
	})
	if errors.Is(err, store.ErrUnknown) {
		// It may wait for a node that is gone to have heard of it: what counts is that
		// it is written.
		if same, viewErr := is(); same && viewErr == nil {
			return nil
		}
	}
	return err
}

// leave sends what the node still has, and says in the database that nothing is left.
func (s *Server) leave(ctx context.Context) error {
	if err := s.spool.Move(ctx); err != nil {
		return err
	}
	var at nodeRecord
	err := s.store.View(ctx, func(r store.Reader) (err error) {
		at, err = nodeRecords.Get(r, store.Deployment, s.spool.Node)
		return err
	})
	if err != nil {
		return err
	}
	at.Sending = false
	return s.noteNode(ctx, s.spool.Node, at)
}

// nodes returns the records of all nodes that there were, by name.
func (s *Server) nodes(ctx context.Context) (nodes map[string]nodeRecord, err error) {
	nodes = map[string]nodeRecord{}
	err = s.store.View(ctx, func(r store.Reader) error {
		for after, more := "", true; more; {
			var items []store.Item[nodeRecord]
			var err error
			if items, more, err = nodeRecords.Scan(r, store.Deployment, after, 100); err != nil {
				return err
			}
			for _, item := range items {
				after, nodes[item.ID] = item.ID, item.Value
			}
		}
		return nil
	})
	return nodes, err
}

// list names nodes, and says where they are.
func list(names []string, nodes map[string]nodeRecord) string {
	said := make([]string, len(names))
	for i, name := range names {
		said[i] = name
		if at, ok := nodes[name]; ok {
			said[i] = fmt.Sprintf("%s (%s on %s)", name, at.Folder, at.Host)
		}
	}
	return strings.Join(said, ", ")
}
