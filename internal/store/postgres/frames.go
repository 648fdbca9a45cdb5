package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/strongroom/strongroom/internal/store"
)

// LastFrame implements store.JournalReader.
func (b *Backend) LastFrame(context.Context) (seq uint64, frame []byte, err error) {
	var last int64
	err = b.ask("reading the last frame", func(ctx context.Context) error {
		err := b.pool.QueryRow(ctx, `SELECT f.seq, f.frame FROM strongroom_state s JOIN strongroom_frames f ON f.seq = s.frame WHERE s.id = 1`).Scan(&last, &frame)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	if frame == nil {
		return 0, nil, fmt.Errorf("%w: the journal has no frames", store.ErrNotFound)
	}
	return uint64(last), frame, nil
}

// Frames implements store.JournalReader. It reads in pages, of which the first has one
// frame: that is all that many callers want, and frames may be large.
func (b *Backend) Frames(ctx context.Context, from uint64, fn func(seq uint64, frame []byte) error) error {
	type row struct {
		seq   int64
		frame []byte
	}
	for limit := 1; from <= math.MaxInt64; limit = min(4*limit, 64) {
		var page []row
		err := b.ask("reading frames", func(ctx context.Context) error {
			page = page[:0]
			rows, err := b.pool.Query(ctx, `SELECT seq, frame FROM strongroom_frames WHERE seq >= $1 ORDER BY seq LIMIT $2`, int64(from), limit)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var r row
				if err := rows.Scan(&r.seq, &r.frame); err != nil {
					return err
				}
				page = append(page, r)
			}
			return rows.Err()
		})
		if err != nil {
			return err
		}
		for _, r := range page {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(uint64(r.seq), r.frame); err != nil {
				return err
			}
			from = uint64(r.seq) + 1
		}
		if len(page) < limit {
			return nil
		}
	}
	return nil
}

// RemoveFrames implements store.Backend.
func (b *Backend) RemoveFrames(_ context.Context, through uint64) error {
	removed := false
	err := b.ask("removing frames", func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
			var last int64
			if err := tx.QueryRow(ctx, `SELECT frame FROM strongroom_state WHERE id = 1`).Scan(&last); err != nil {
				return err
			}
			if removed = through < uint64(last); !removed {
				return nil
			}
			_, err := tx.Exec(ctx, `DELETE FROM strongroom_frames WHERE seq <= $1`, int64(through))
			return err
		})
	})
	if err == nil && !removed {
		err = fmt.Errorf("postgres: journal frames up to %d cannot be removed: there is none behind them", through)
	}
	return err
}
