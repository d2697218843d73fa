//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package checkpoint

import "os"

// lock opens a file. Where there is no flock there are no scans either.
func lock(path string, flag int) (*os.File, error) { return os.OpenFile(path, os.O_RDWR|flag, 0o600) }
