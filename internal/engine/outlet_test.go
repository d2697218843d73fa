//go:build linux && !android

package engine

import (
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/match"
)

// Interfaces come and go: paths of the past cost nothing, and a pending probe keeps its own.
func TestManyPaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w, sink := newStub(t, BatchSize, 4*match.MaxPaths)
		ways := make([]*Path, 3*match.MaxPaths)
		for i := range ways {
			ways[i] = &Path{Source: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}
		}
		var next int
		w.way = func() *Path { return ways[next] }
		taken := map[Ticket]*Path{}
		for range 20_000 {
			next = rand.IntN(len(ways))
			if len(taken) < 700 {
				if ticket, ok := s.Submit(address(len(taken)), 0, s.Now(), time.Hour, false); ok {
					taken[ticket] = ways[next]
				}
			}
			for ticket, way := range taken {
				if got := s.paths[s.v4.table.Slot(ticket.id).Path()].Path; got != way {
					t.Fatalf("a probe that left from %v has become one of %v", way.Source, got.Source)
				}
				if rand.IntN(2) == 0 {
					s.Cancel(ticket, 0)
					delete(taken, ticket)
				}
				break
			}
		}
		if len(s.paths) != match.MaxPaths || len(sink) != 0 {
			t.Errorf("%d paths, verdicts %v", len(s.paths), sink)
		}
	})
}

// More paths at once than slots can tell apart are an error of ours.
func TestTooManyPathsAtOnce(t *testing.T) {
	s, w, sink := newStub(t, BatchSize, 4*match.MaxPaths)
	w.way = func() *Path { return &Path{Source: netip.MustParseAddr("192.0.2.1")} }
	for i := range match.MaxPaths + 10 {
		s.Submit(address(i), 0, s.Now(), time.Hour, false)
	}
	if sink[match.NoBuffers] != 10 || s.Len() != match.MaxPaths {
		t.Errorf("%d pending, verdicts %v", s.Len(), sink)
	}
	if _, err := s.outlet(address(0)); err == nil || localErrno(err) != syscall.ENOBUFS {
		t.Errorf("error %v", err)
	}
}

func localErrno(err error) syscall.Errno {
	_, _, errno := localError(err)
	return errno
}
