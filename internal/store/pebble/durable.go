//go:build !strongroom_planted_nosync

package pebble

import "github.com/cockroachdb/pebble/v2"

// durable is how a commit is written: synced before it is acknowledged.
var durable = pebble.Sync
