package postgres

import (
	"context"
)

// Mute keeps this node from notifying the others.
func (b *Backend) Mute() {
	b.heard.mu.Lock()
	defer b.heard.mu.Unlock()
	b.heard.mute = true
}

// Versions returns how many rows the records have.
func (b *Backend) Versions(ctx context.Context) (n int, err error) {
	err = b.pool.QueryRow(ctx, `SELECT count(*) FROM strongroom_records`).Scan(&n)
	return n, err
}

// SetSchema pretends that a Strongroom of another version made the tables.
func (b *Backend) SetSchema(ctx context.Context, version int) error {
	_, err := b.pool.Exec(ctx, `UPDATE strongroom_schema SET version = $1`, version)
	return err
}

// Schema is the version of the tables that this Strongroom knows.
const Schema = schema

// FallMute is how the answer to LISTEN or to a notification is taken.
func (b *Backend) FallMute(err error) bool { return b.fallMute(err) }
