package discover

import (
	"io/fs"
	"syscall"
	"time"
)

func inode(i fs.FileInfo) (uint64, time.Time) {
	if st, ok := i.Sys().(*syscall.Stat_t); ok {
		return st.Ino, time.Unix(int64(st.Ctim.Sec), int64(st.Ctim.Nsec))
	}
	return 0, i.ModTime()
}
