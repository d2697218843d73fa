//go:build !windows

package rawshake

import "syscall"

func portableErrno(errno syscall.Errno) syscall.Errno { return errno }
