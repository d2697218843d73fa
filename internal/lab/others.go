//go:build linux && !android

package lab

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// OthersTime returns how much processor time all processes have used that are neither this one, nor its ancestors or
// descendants, nor threads of the kernel, to a hundredth of a second. The difference of two calls is what disturbed a measurement between
// them; the time of processes that came and went counts once somebody has waited for them.
func OthersTime() (time.Duration, error) {
	all, err := readProcesses()
	if err != nil {
		return 0, err
	}
	self := os.Getpid()
	ours := map[int]bool{}
	for p := self; p > 1; p = all[p].parent {
		ours[p] = true
	}
	const kernel = 2 // kthreadd
	var ticks int64
	for pid, p := range all {
		if !ours[pid] && pid != kernel && !all.descends(pid, self) && p.parent != kernel {
			ticks += p.ticks
		}
	}
	return time.Duration(ticks) * time.Second / 100, nil // USER_HZ, as in BusyTime
}

// processes are those of the machine by their id.
type processes map[int]processStat

type processStat struct {
	parent int
	ticks  int64 // used by the process and the children that it has waited for
}

func (all processes) descends(pid, ancestor int) bool {
	for ; pid > 1; pid = all[pid].parent {
		if pid == ancestor {
			return true
		}
	}
	return false
}

func readProcesses() (processes, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := processes{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil { // most likely it has ended since
			if _, gone := os.Stat(path); errors.Is(gone, fs.ErrNotExist) {
				continue
			}
			return nil, err
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		all[pid] = parseProcess(b)
	}
	return all, nil
}

// parseProcess reads /proc/PID/stat (proc_pid_stat(5)). The name in parentheses may hold blanks and parentheses itself.
func parseProcess(stat []byte) processStat {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // state ppid …, utime stime cutime cstime from the twelfth
	if len(fields) < 15 {
		return processStat{}
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(string(fields[i]), 10, 64)
		return n
	}
	return processStat{int(number(1)), number(11) + number(12) + number(13) + number(14)}
}
