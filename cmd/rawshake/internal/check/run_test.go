package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/internal/loopback"
)

// options are a check of targets by connect.
func options(t *testing.T, l Lookup, targets ...string) (o Options, stdout, stderr *bytes.Buffer) {
	t.Helper()
	hosts, err := ParseHosts(arguments(targets...), l)
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return Options{
		Probe: rawshake.Config{Method: rawshake.MethodConnect},
		Hosts: hosts, Count: 1, Parallel: 4, Stdout: stdout, Stderr: stderr,
	}, stdout, stderr
}

// TestEveryTargetOnce: what goes in comes out once, whatever the number of places.
func TestEveryTargetOnce(t *testing.T) {
	addr, _ := loopback.Open(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(addr)
	for _, parallel := range []int{1, 3, 1000} {
		o, stdout, _ := options(t, Lookup{Resolver: &book{}}, addr, "127.0.0.0/27:"+port, "none.example:80", addr)
		o.Parallel = parallel
		if err := Run(t.Context(), o); exit.Of(err) != exit.Unresolved {
			t.Errorf("%v", err)
		}
		if n := strings.Count(stdout.String(), "\n"); n != 1+32+1+1 {
			t.Errorf("%d lines:\n%s", n, stdout)
		}
	}
}

// slowBook never answers for one name.
type slowBook struct {
	book
	mu sync.Mutex
}

func (b *slowBook) LookupNetIP(ctx context.Context, network, host string) (addrs []netip.Addr, err error) {
	if host == "slow.example" {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.book.LookupNetIP(ctx, network, host)
}

// TestSlowNameStopsNobody: the others get their verdicts, and a signal ends the wait.
func TestSlowNameStopsNobody(t *testing.T) {
	addr, _ := loopback.Open(t, "127.0.0.1:0")
	names := []string{}
	for i := range 2 * lookups {
		names = append(names, fmt.Sprintf("slow.example:%d", i+1))
	}
	o, _, stderr := options(t, Lookup{Resolver: &slowBook{}}, append(names, addr)...)
	first := &signalling{written: make(chan struct{})}
	o.Stdout = first
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-first.written
		cancel(exit.Signal{Signal: syscall.SIGINT})
	}()
	if err := Run(ctx, o); exit.Of(err) != exit.Interrupted {
		t.Errorf("%v", err)
	}
	if got := stderr.String(); got != fmt.Sprintf("interrupted after 1 probe: 1 open, %d targets not asked\n", 2*lookups) {
		t.Errorf("%q", got)
	}
}

// signalling tells when something was written.
type signalling struct {
	once    sync.Once
	written chan struct{}
}

func (s *signalling) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.written) })
	return len(b), nil
}

// TestPeriod: rounds keep their distance, and a late one is not made up for by a burst.
func TestPeriod(t *testing.T) {
	addr, _ := loopback.Open(t, "127.0.0.1:0")
	o, stdout, stderr := options(t, Lookup{}, addr)
	o.Count, o.Period = 5, 40*time.Millisecond
	start := time.Now()
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 4*o.Period {
		t.Errorf("5 probes took %v", took)
	}
	if n := strings.Count(stdout.String(), "\n"); n != 5 {
		t.Errorf("%d lines", n)
	}
	if !strings.Contains(stderr.String(), "sent 5, answered 5") {
		t.Errorf("%s", stderr)
	}
}

// TestWriterFails: a consumer that fails stops the check.
func TestWriterFails(t *testing.T) {
	addr, _ := loopback.Open(t, "127.0.0.1:0")
	o, _, _ := options(t, Lookup{}, addr)
	o.Count, o.Period = 0, time.Millisecond
	o.Stdout = failing{}
	err := Run(t.Context(), o)
	if exit.Of(err) != exit.System || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestStalledReader: who does not read holds back the probes; they do not pile up.
func TestStalledReader(t *testing.T) {
	addr, accepted := loopback.Open(t, "127.0.0.1:0")
	o, _, _ := options(t, Lookup{}, addr)
	o.Count, o.Period = 0, time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	reader := &stalled{reached: make(chan struct{}), goOn: make(chan struct{})}
	o.Stdout = reader
	done := make(chan error)
	go func() { done <- Run(ctx, o) }()
	<-reader.reached
	time.Sleep(300 * time.Millisecond) // time enough for many
	if n := accepted.Load(); n > int64(1+o.Parallel) {
		t.Errorf("%d probes were made while nobody read the first", n)
	}
	cancel()
	close(reader.goOn)
	<-done
}

// stalled blocks its first write.
type stalled struct {
	once          sync.Once
	reached, goOn chan struct{}
}

func (s *stalled) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.reached) })
	<-s.goOn
	return len(b), nil
}
