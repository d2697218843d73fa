//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
)

// usage is what a process has.
type usage struct {
	descriptors, goroutines int
	resident                int // bytes
}

func (u usage) String() string {
	return strconv.Itoa(u.descriptors) + " descriptors, " + strconv.Itoa(u.goroutines) + " goroutines, " +
		strconv.Itoa(u.resident>>20) + " MB resident"
}

// used measures, after what is garbage has gone.
func used(t testing.TB) usage {
	t.Helper()
	runtime.GC() // twice: sync.Pools forget with the second
	debug.FreeOSMemory()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return usage{len(files), runtime.NumGoroutine(), resident(t)}
}

func resident(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// TestLabManyProbers has many Probers in one process, which all work, and holds that Close frees everything.
func TestLabManyProbers(t *testing.T) {
	const count = 20
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		newProber(t, quick).Close() // what a first Prober leaves stays
		before := used(t)
		probers := make([]*rawshake.Prober, count)
		for i := range probers {
			p, err := rawshake.New(quick)
			if err != nil {
				t.Fatal(err)
			}
			probers[i] = p
		}
		open := used(t)
		var wg sync.WaitGroup
		for _, p := range probers {
			wg.Go(func() {
				for _, addr := range []uint16{80, 81} {
					for _, v6 := range []bool{false, true} {
						r, err := p.Probe(t.Context(), at(peer.Addr(v6), addr))
						if err != nil || r.State != map[uint16]rawshake.State{80: rawshake.Open, 81: rawshake.Closed}[addr] {
							t.Errorf("%v is %v, %v", r.Target, r.State, err)
						}
					}
				}
			})
		}
		wg.Wait()
		for _, p := range probers {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if _, err := p.Probe(t.Context(), at(peer.V4, 80)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a closed Prober: %v", err)
			}
		}
		clear(probers)
		eventually(t, "no descriptor and goroutine left", func() bool {
			after := used(t)
			return after.descriptors == before.descriptors && after.goroutines == before.goroutines
		})
		t.Logf("before %v; with %d Probers %v; after %v", before, count, open, used(t))
	})
}

// TestLabCancel ends probes of a silent target by their context, and by closing the Prober.
func TestLabCancel(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Drop(t, 80)
		p := newProber(t, rawshake.Config{})
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 200)
		for range 100 {
			go func() {
				_, err := p.Probe(ctx, at(peer.V4, 80))
				ended <- err
			}()
		}
		eventually(t, "all pending", func() bool { return p.Stats().InFlight == 100 })
		cancel(cause)
		for range 100 {
			if err := <-ended; err != cause {
				t.Errorf("error %v, want the cause", err)
			}
		}
		settled(t, p)
		for range 100 {
			go func() {
				_, err := p.Probe(context.Background(), at(peer.V6, 80))
				ended <- err
			}()
		}
		eventually(t, "all pending", func() bool { return p.Stats().InFlight == 100 })
		p.Close()
		for range 100 {
			if err := <-ended; err != rawshake.ErrClosed {
				t.Errorf("error %v, want ErrClosed", err)
			}
		}
	})
}
