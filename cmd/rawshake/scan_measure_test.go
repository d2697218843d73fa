//go:build linux && !android

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
)

// measure runs the scanner once and reports what it did and what it cost. SYNs are counted where they arrive, and their time ends
// with the last of them, since scanners then wait for late answers. The machine's processor time is that of the whole run, as
// /proc/stat has it, so it includes the responder and whatever else runs: others% says how much that was.
func (r scanRun) measure(b *testing.B, host *lab.Host, peer *lab.Responding) {
	out := filepath.Join(b.TempDir(), "out")
	var stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), r.limit())
	defer cancel()
	cmd := exec.CommandContext(ctx, r.tool.path, r.tool.args(r, out, host.Interfaces[0].MAC.String())...)
	cmd.Env, cmd.Stderr, cmd.Dir = append(os.Environ(), r.tool.env...), &stderr, filepath.Dir(out)
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 3*time.Second // it may write what it has

	before, began := peer.Counters(b), clocks(b)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	w := watch(b, cmd.Process.Pid, host, peer, before.SYN)
	err := cmd.Wait()
	seen := w.stop()
	used, after := clocks(b).since(began), peer.Counters(b)
	if err != nil && ctx.Err() == nil {
		b.Fatalf("%s %q: %v\n%s", r.tool.name, cmd.Args, err, stderr.String())
	}

	probes := float64(after.SYN - before.SYN)
	found := r.read(b, out)
	b.ReportMetric(probes, "probes")
	b.ReportMetric(probes/seen.last.Sub(began.at).Seconds(), "probes/s")
	b.ReportMetric(probes/max(seen.last.Sub(seen.first), time.Millisecond).Seconds(), "sending-probes/s")
	b.ReportMetric(float64(used.busy)/probes, "cpu-ns/probe")
	b.ReportMetric(float64(cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())/probes, "own-cpu-ns/probe")
	b.ReportMetric(100*float64(used.others)/float64(used.took)/float64(runtime.NumCPU()), "others%")
	b.ReportMetric(float64(seen.memory)/1e6, "rss-MB")
	b.ReportMetric(float64(r.space.size), "targets")
	b.ReportMetric(float64(r.space.size-found.right), "missing") // a share would be rounded to 100 %
	b.ReportMetric(float64(found.wrong), "wrong")
	b.ReportMetric(float64(after.RST-before.RST)/max(1, float64(r.open(found))), "rst/open")
	b.ReportMetric(boolean(ctx.Err() != nil), "timeouts")
	b.ReportMetric(used.took.Seconds(), "seconds")
}

func boolean(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

// clock is a reading of everything that passes.
type clock struct {
	at           time.Time
	took         time.Duration
	busy, others time.Duration
}

func clocks(b *testing.B) clock {
	busy, err := lab.BusyTime()
	others, err2 := lab.OthersTime()
	if err := errors.Join(err, err2); err != nil {
		b.Fatal(err)
	}
	return clock{at: time.Now(), busy: busy, others: others}
}

func (c clock) since(began clock) clock {
	return clock{took: c.at.Sub(began.at), busy: c.busy - began.busy, others: max(0, c.others-began.others)}
}

// watcher looks at a scanner while it runs.
type watcher struct {
	end  chan struct{}
	seen chan sight
}

// sight is what a watcher saw: when the first and the last SYN had arrived, and the most memory in bytes.
type sight struct {
	first, last time.Time
	memory      int
}

func watch(b *testing.B, pid int, host *lab.Host, peer *lab.Responding, before uint64) watcher {
	w := watcher{make(chan struct{}), make(chan sight, 1)}
	disturb := disturber(b, host.V4)
	go func() {
		defer disturb.Close()
		var s sight
		syns := before
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			if i%40 == 0 {
				disturb.Write(nil)
			}
			if n := peer.Counters(b).SYN; n != syns {
				syns, s.last = n, time.Now()
				if s.first.IsZero() {
					s.first = s.last
				}
			}
			s.memory = max(s.memory, peakMemory(pid))
			select {
			case <-tick.C:
			case <-w.end:
				w.seen <- s
				return
			}
		}
	}()
	return w
}

// disturber sends datagrams that the peer answers with an ICMP error: a link is never quiet elsewhere, and masscan's receiving
// thread ends only when a packet comes.
func disturber(b *testing.B, peer netip.Addr) net.Conn {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(peer, 9)))
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func (w watcher) stop() sight {
	close(w.end)
	return <-w.seen
}

// peakMemory reads the high-water mark of a process. getrusage(2) would include the process that started it; 0 if it has ended.
func peakMemory(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.Atoi(fields[0])
	return kib << 10
}

// tally counts the records of an output. A record is wrong if the state is not what the responder made it, or if there is no such target;
// silence that is called open or closed is wrong, and silence where an answer was lost is only a record that misses.
type tally struct{ right, wrong, open int }

// read counts each target once.
func (r scanRun) read(b *testing.B, out string) (found tally) {
	f, err := os.Open(out)
	if errors.Is(err, os.ErrNotExist) {
		return found // it was ended before it found anything
	}
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	seen := addressSet{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		addr, state := r.tool.read(lines.Text())
		if !addr.IsValid() || !seen.add(addr) {
			continue
		}
		want := r.state(addr)
		switch {
		case !r.space.contains(addr):
			found.wrong++
		case state == want:
			found.right++
		case state != "filtered":
			found.wrong++
		}
		if state == "open" {
			found.open++
		}
	}
	if err := lines.Err(); err != nil {
		b.Fatal(err)
	}
	return found
}

// open is how many targets are open; with mixed ones it is how many were found.
func (r scanRun) open(found tally) int {
	if !r.responder.Mixed && r.responder.Fate == lab.Open {
		return r.space.size
	}
	return found.open
}

var stateOf = map[lab.Fate]string{lab.Open: "open", lab.Closed: "closed", lab.Silent: "filtered"}

// state is what a target is.
func (r scanRun) state(addr netip.Addr) string {
	if r.responder.Mixed {
		return stateOf[lab.MixedFate(netip.AddrPortFrom(addr, 80))]
	}
	return stateOf[r.responder.Fate]
}

// addressSet has a bit for each address, in blocks of 2^16.
type addressSet map[netip.Prefix]*[1 << 10]uint64

// add says whether the address is new.
func (s addressSet) add(a netip.Addr) bool {
	p, err := a.Prefix(a.BitLen() - 16)
	if err != nil {
		return false
	}
	block := s[p]
	if block == nil {
		block = new([1 << 10]uint64)
		s[p] = block
	}
	b := a.AsSlice()
	low := uint(b[len(b)-2])<<8 | uint(b[len(b)-1])
	old := block[low/64]
	block[low/64] |= 1 << (low % 64)
	return block[low/64] != old
}
