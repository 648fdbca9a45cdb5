package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/pebble"
)

// Entries of the unsealed area that tell of copies between stores.
const (
	metaMoved   = "moved"   // a [moveNote]: the records are elsewhere now, and nobody serves from these
	metaCopying = "copying" // of a database, a [moveNote]: it is being copied into, and is no deployment yet
	metaCopied  = "copied"  // the id of the copy that these records have come by
)

// movedPrefix begins the name of the store of a folder whose records were moved to a
// database, before the id of the copy.
const movedPrefix = "store.moved-"

// copyingFolder is the store of a folder that is being copied into. No server starts
// on it; another copy begins anew.
const copyingFolder = "store.copying"

// moveNote says of a copy which one it is, where from or where to, and when.
type moveNote struct {
	Copy  string    `json:"copy"`
	Place string    `json:"place"`
	Time  time.Time `json:"time"`
	// Whole says that all is there and was compared.
	Whole bool `json:"whole,omitempty"`
}

func (n moveNote) encode() []byte {
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // of strings and a time
	}
	return text
}

func readNote(text []byte) (n moveNote, err error) {
	if err = json.Unmarshal(text, &n); err != nil || n.Copy == "" {
		return moveNote{}, fmt.Errorf("%w: what is noted about a copy", store.ErrCorrupt)
	}
	return n, nil
}

// refuseMoved refuses records that nobody may serve from: they were moved, or are not
// all there.
func refuseMoved(in Folder, meta map[string][]byte) error {
	if text := meta[metaMoved]; len(text) > 0 {
		note, err := readNote(text)
		if err != nil {
			return err
		}
		return movedAway(in, note)
	}
	if text := meta[metaCopying]; len(text) > 0 {
		note, err := readNote(text)
		if err != nil {
			return err
		}
		return problem(fmt.Sprintf("the copy from %s into %s, begun %s, was not finished", note.Place, in.place(), note.Time.Format(time.RFC3339)),
			"Run it again where it was run (strongroom store copy): it begins anew, or does what is left. Until then the records are where they were.", nil)
	}
	return nil
}

func movedAway(in Folder, note moveNote) error {
	return problem(fmt.Sprintf("the records of %s were moved to %s on %s, and are kept up there", in.place(), note.Place, note.Time.Format(time.RFC3339)),
		"Serve them from there. To have them here again with all that was changed since, copy them back (strongroom store copy). "+
			"If the copy was interrupted, run it again. If what is there is lost: strongroom store reclaim, which goes back to the time of the move.", nil)
}

// place says where the records are, for people.
func (f Folder) place() string {
	if f.shared() {
		return "the " + f.database().Place()
	}
	return "the data folder " + absolute(f.Dir)
}

func absolute(dir string) string {
	if full, err := filepath.Abs(dir); err == nil {
		return full
	}
	return dir
}

// movedStores are the paths of stores in a folder whose records were moved away.
func movedStores(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var paths []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), movedPrefix) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}

// movedFolder refuses a folder that has no records but ones that were moved away.
func movedFolder(in Folder) error {
	stores := movedStores(in.Dir)
	if len(stores) == 0 {
		return nil
	}
	var newest moveNote
	for _, path := range stores {
		if note, err := noteIn(path); err == nil && note.Time.After(newest.Time) {
			newest = note
		}
	}
	in.Store = ""
	return movedAway(in, newest)
}

// noteIn reads the note in a store that was moved away.
func noteIn(path string) (note moveNote, err error) {
	backend, err := pebble.Open(pebble.Config{Dir: path, Log: slog.Default(), Fatal: store.Exit})
	if err != nil {
		return moveNote{}, err
	}
	meta, err := backend.Meta(context.Background())
	if err == nil {
		note, err = readNote(meta[metaMoved])
	}
	return note, errors.Join(err, backend.Close())
}
