//go:build linux && !android

package lab

import (
	"os"
	"testing"
	"time"
)

func TestParseProcess(t *testing.T) {
	got := parseProcess([]byte("77 (a b) (c) S 12 1 1 0 -1 4194560 1 2 3 4 100 20 3 4000 20 0 1 0 9 9\n"))
	if got != (processStat{12, 4123}) {
		t.Errorf("%+v", got)
	}
}

// TestOthersTime burns time of this process, which is not others', and finds this process below its parent.
func TestOthersTime(t *testing.T) {
	all, err := readProcesses()
	if err != nil {
		t.Fatal(err)
	}
	if !all.descends(os.Getpid(), os.Getppid()) || all.descends(os.Getppid(), os.Getpid()) {
		t.Errorf("process %d is not below %d", os.Getpid(), os.Getppid())
	}
	before := all[os.Getpid()].ticks
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
	}
	if all, err = readProcesses(); err != nil {
		t.Fatal(err)
	}
	if all[os.Getpid()].ticks == before {
		t.Error("a busy process used no time")
	}
	if others, err := OthersTime(); err != nil || others < 0 {
		t.Errorf("others used %v, %v", others, err)
	}
}
