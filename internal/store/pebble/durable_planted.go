//go:build strongroom_planted_nosync

package pebble

import "github.com/cockroachdb/pebble/v2"

// durable is, in this build, a planted defect: commits are acknowledged before
// they are synced. It exists so that the crash harness can show that it finds it,
// together with the build tag strongroom_volatile.
var durable = pebble.NoSync
