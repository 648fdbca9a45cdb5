// Package backup is the form in which a whole deployment is written to one file:
// its records, sealed as they are, its audit trail, and the keyslots.
//
// # What it promises
//
// A file is a header, blocks of records and of journal frames, a manifest with the
// SHA-256 of each block, and an HMAC-SHA256 over header and manifest under a key of
// the deployment. [Read] returns nil only for a file that is whole and was written
// by who holds that key. It takes memory for one block and the manifest, whatever
// the file says.
//
// # The threat
//
// Whoever holds the file and not the root: he reads what the data folder shows him,
// too (identifiers, sizes, times), and can change nothing unseen. The root and the
// files with credentials are never in a backup. That a file is an old one cannot be
// seen in it; the header says when it was made.
//
// # Format
//
// All numbers are big-endian.
//
//	magic "strongroom-backup-v1\n"
//	blocks: kind (1) ‖ length (4) ‖ payload
//	  'h' the header, JSON; the first block
//	  'r' records: key length (4) ‖ key ‖ value length (4) ‖ value, again and again
//	  'f' frames: number (8) ‖ length (4) ‖ frame, again and again
//	  'm' the manifest, JSON
//	  'e' the HMAC, 32 bytes; the last block, and the end of the file
package backup

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
)

const (
	magic  = "strongroom-backup-v1\n"
	format = 1

	kindHeader   = 'h'
	kindRecords  = 'r'
	kindFrames   = 'f'
	kindManifest = 'm'
	kindEnd      = 'e'

	blockSize = 1 << 20  // when a block is full, in bytes
	maxBlock  = 64 << 20 // the longest block in bytes
)

// ErrBad is wrapped by every error about a file that is not a whole backup, as it
// was written.
var ErrBad = errors.New("backup: not whole, or changed")

func bad(form string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBad, fmt.Sprintf(form, args...))
}

// Header says what a backup is of.
type Header struct {
	Format int `json:"format"`
	// ID is the backup's own random id, 32 hex digits.
	ID string `json:"id"`
	// Deployment is the id of the deployment.
	Deployment string `json:"deployment"`
	// Made is when the state was taken.
	Made time.Time `json:"made"`
	// Epoch is that of the records, Frame the number of the last journal frame.
	Epoch uint64 `json:"epoch"`
	Frame uint64 `json:"frame"`
	// Checkpoint is the text of the checkpoint that the last frame carries.
	Checkpoint string `json:"checkpoint"`
	// Meta is the unsealed area of the store, keyslots included.
	Meta map[string][]byte `json:"meta"`
}

// Manifest lists what is in a backup.
type Manifest struct {
	Records uint64  `json:"records"`
	Frames  uint64  `json:"frames"`
	Blocks  []Block `json:"blocks"`
}

// Block is one block of records or frames.
type Block struct {
	Kind   string `json:"kind"` // "r" or "f"
	Bytes  uint32 `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func blockOf(kind byte, payload []byte) Block {
	sum := sha256.Sum256(payload)
	return Block{Kind: string(rune(kind)), Bytes: uint32(len(payload)), SHA256: hex.EncodeToString(sum[:])}
}

// tag is the MAC over header and manifest as they are written.
func tag(key secret.Bytes, header, manifest []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(magic))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(header))))
	h.Write(header)
	h.Write(manifest)
	return h.Sum(nil)
}
