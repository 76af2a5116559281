//go:build !linux

package discover

import (
	"io/fs"
	"time"
)

func inode(i fs.FileInfo) (uint64, time.Time) { return 0, i.ModTime() }
