//go:build !strongroom_volatile

package pebble

import "github.com/cockroachdb/pebble/v2/vfs"

// machine is the file system that a folder is on unless Config.FS says otherwise.
var machine = vfs.Default
