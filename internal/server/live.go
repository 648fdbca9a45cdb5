package server

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/deadline"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// changedHint is what to do about records that were changed outside.
const changedHint = "Keep a copy of the data folder as it is, and look at what is named (strongroom audit verify). Restore a backup, or, if you know what was done and it may stay, start once with --accept-changed-records."

func changedRecords(err error) error {
	return problem("the records are not those that this server left, and it does not serve them", changedHint, err)
}

// liveKey keys the hash of what the store holds. It outlasts the domain key's
// rotation, or each would have to read every record.
func (f *folder) liveKey() (secret.Bytes, error) {
	return f.domain.Derive(firstVersion, seal.LabelLiveSet)
}

// signedState returns the state that the newest checkpoint signs for. absent says
// that there is a checkpoint, and that it signs for none.
func (f *folder) signedState(ctx context.Context) (state []byte, absent bool, err error) {
	reader, err := f.journalReader()
	if err != nil {
		return nil, false, err
	}
	checkpoint, state, ok, err := reader.LastState(ctx)
	if err != nil || !ok {
		return nil, false, err
	}
	signer, err := journalSigner(f.domain)
	if err != nil {
		return nil, false, err
	}
	if err := checkpoint.Verify(signer.Public().(ed25519.PublicKey)); err != nil {
		return nil, false, changedRecords(err)
	}
	return state, len(state) == 0, nil
}

// checkRecords compares all that is stored with the hash of it. open is the store
// that has the folder, nil if none has.
func (f *folder) checkRecords(ctx context.Context, open *store.Store) (store.LiveReport, error) {
	key, err := f.liveKey()
	if err != nil {
		return store.LiveReport{}, err
	}
	signed, _, err := f.signedState(ctx)
	if err != nil {
		return store.LiveReport{}, err
	}
	var report store.LiveReport
	if open != nil {
		report, err = open.CheckLive(ctx, key, signed)
	} else {
		report, err = store.CheckLive(ctx, f.backend, newRecordSealer(f.domain), key, signed)
	}
	if errors.Is(err, store.ErrCorrupt) { // the database itself cannot be read to its end
		report.Findings, err = append(report.Findings, err.Error()), nil
	}
	return report, err
}

// openRecordStore opens the store of records with the hash of what it holds, and
// refuses records that are older than what was signed for.
func (s *Server) openRecordStore(ctx context.Context) error {
	key, err := s.folder.liveKey()
	if err != nil {
		return err
	}
	signed, absent, err := s.folder.signedState(ctx)
	if err != nil {
		return err
	}
	s.store, err = store.New(store.Config{
		Backend:    s.folder.backend,
		Sealer:     newRecordSealer(s.domain),
		Journal:    s.journal,
		Fatal:      store.Exit,
		LiveKey:    key,
		LiveSigned: signed,
		LiveAbsent: absent,
		LiveAccept: s.cfg.AcceptChangedRecords,
		SkipEpochs: s.folder.skipEpochs,
		Observer:   s.observer(),
	})
	switch {
	case errors.Is(err, store.ErrFull):
		return fullDisk(s.cfg.DataDir, err)
	case errors.Is(err, store.ErrRolledBack), errors.Is(err, store.ErrCorrupt):
		return changedRecords(err)
	case err != nil:
		return err
	}
	if s.cfg.AcceptChangedRecords {
		return s.acceptRecords(ctx)
	}
	if s.store.LiveComputed() && absent {
		s.cfg.Log.Info("the hash of all records was made for the first time, or again after an older version wrote to this folder; from now on records that are changed behind the server's back are found")
		if err := s.store.Checkpoint(ctx); err != nil {
			return fmt.Errorf("signing the hash of all records: %w", err)
		}
	}
	return nil
}

// acceptRecords records that the operator takes the records as they are.
func (s *Server) acceptRecords(ctx context.Context) error {
	record, err := s.adminRecord(s.ownEvent("AcceptChangedRecords", nil), nil)
	if err == nil {
		err = s.store.Append(ctx, record)
	}
	if err == nil {
		err = s.folder.backend.SetMeta(ctx, map[string][]byte{metaSuspect: nil})
	}
	if err != nil {
		return fmt.Errorf("accepting the records as they are: %w", err)
	}
	s.cfg.Log.Warn("--accept-changed-records: the records were taken as they are")
	return nil
}

// ownEvent is what this process does by itself.
func (s *Server) ownEvent(name string, params map[string]string) admin.AdminEvent {
	return admin.AdminEvent{
		Name: name, Peer: admin.Peer{UID: uint32(os.Getuid()), PID: int32(os.Getpid())},
		Time: s.clock.Now(), Params: params,
	}
}

// recheckRecords looks again, before anything is served, when the last check found
// something.
func (s *Server) recheckRecords(ctx context.Context) error {
	meta, err := s.folder.backend.Meta(ctx)
	if err != nil || len(meta[metaSuspect]) == 0 {
		return err
	}
	report, err := s.folder.checkRecords(ctx, s.store)
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		return changedRecords(err)
	}
	s.cfg.Log.Info("the records that were found changed are right again")
	return s.folder.backend.SetMeta(ctx, map[string][]byte{metaSuspect: nil})
}

// watchRecords checks the records once, while the server already serves. If they
// are not those that it left, it ends: a key that was disabled may open things
// again, and nobody can tell what else was done. The next start checks first.
func (s *Server) watchRecords(ctx context.Context) {
	report, err := s.folder.checkRecords(ctx, s.store)
	if ctx.Err() != nil || errors.Is(err, store.ErrStopped) {
		return
	}
	if err != nil {
		s.cfg.Log.Error("the records could not be checked", "error", err, "next", "strongroom audit verify")
		return
	}
	cause := report.Err()
	if cause == nil {
		s.cfg.Log.Debug("all records are as they were left", "records", report.Records)
		return
	}
	for _, finding := range report.Findings {
		s.cfg.Log.Error("a record was changed behind the server's back", "what", finding)
	}
	findings := strings.Join(report.Findings, "; ")
	record, err := s.adminRecord(s.ownEvent("FindChangedRecords", map[string]string{"findings": findings}), cause)
	if err == nil {
		err = s.store.Append(ctx, record)
	}
	if err := errors.Join(err, s.folder.backend.SetMeta(ctx, map[string][]byte{metaSuspect: []byte(findings)})); err != nil {
		s.cfg.Log.Error("that records were changed could not be kept", "error", err)
	}
	go s.abort(changedRecords(cause)) // which waits for this function
}

// abort ends the server because of a cause.
func (s *Server) abort(cause error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline.Waiting)
	defer cancel()
	err := errors.Join(s.front.Shutdown(ctx), s.admin.Shutdown(ctx))
	s.finish(errors.Join(cause, err))
}
