//go:build !linux

package doctor

import (
	"io/fs"

	"github.com/strongroom/strongroom/internal/admin"
)

func ownerOf(fs.FileInfo) (uid uint32, ok bool) { return 0, false }
func disk(string) []admin.Finding               { return nil }
func synchronised() []admin.Finding             { return nil }
func process(bool) []admin.Finding              { return nil }
