//go:build unix

package connect

import (
	"io/fs"
	"syscall"
)

// private reports whether a directory belongs to the user or to root, and nobody
// else may look into it.
func private(info fs.FileInfo, uid int) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && info.Mode().Perm()&0o077 == 0 && (int64(st.Uid) == int64(uid) || st.Uid == 0)
}
