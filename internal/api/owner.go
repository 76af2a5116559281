package api

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// owner returns the name of the user that a file belongs to.
func owner(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return userName(st.Uid)
	}
	return "somebody else"
}

// pathOwner returns the name of the user that path belongs to or, where that cannot be
// seen, the nearest directory above it.
func pathOwner(path string) string {
	for {
		if info, err := os.Lstat(path); err == nil {
			return owner(info)
		}
		up := filepath.Dir(path)
		if up == path {
			return "somebody else"
		}
		path = up
	}
}

// isSocket reports whether path is a unix socket.
func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type() == fs.ModeSocket
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user " + id
}

// cause strips what net wraps around an error of the system: the caller names the path.
func cause(err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		err = e.Err
	}
	return err
}
