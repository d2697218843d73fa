//go:build unix

package rawshake

import (
	"math"
	"syscall"
)

// descriptorLimit returns how many descriptors connect probes may hold: three quarters of RLIMIT_NOFILE, so that the rest of
// the program can go on.
func descriptorLimit() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return math.MaxInt32
	}
	return int(max(1, min(uint64(r.Cur), math.MaxInt32)/4*3))
}
