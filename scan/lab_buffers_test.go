//go:build linux && !android

package scan

import (
	"cmp"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/target"
)

// An interface takes no packets for a while: the scan slows down and waits, and in the end every target is found.
func TestLabNoBuffers(t *testing.T) {
	both(t, 10, func(t *testing.T, n *lab.Net, prefix string) {
		n.Host("peer").Respond(t, lab.Responder{})
		before := space(t, "80", prefix[:strings.Index(prefix, "/")]) // so that the gateway is known
		scanAll(t, Config{Targets: before, Timeout: time.Second}, nil)
		clog(t, n.Prober(), "on")
		freed := make(chan struct{})
		time.AfterFunc(700*ms, func() {
			clog(t, n.Prober(), "off")
			close(freed)
		})
		defer func() { <-freed }()
		all := space(t, "80", prefix)
		s, err := New(Config{Targets: all, Rate: -1, Layer: rawshake.LayerIP, Lanes: 2, Timeout: 500 * ms})
		if err != nil {
			t.Fatal(err)
		}
		h := newTally(t, all)
		h.each = func(v *engine.Verdict) {
			if v.State != match.Open {
				t.Errorf("%v is %v, %v", v.Target, v.State, v.Reason)
			}
		}
		if err := s.Run(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		totals := s.Totals()
		t.Logf("%+v, %+v", totals, s.Backoff())
		if totals.Verdicts[match.Open] != all.Size() || totals.SendErrors == 0 || s.Backoff().Drops == 0 {
			t.Errorf("%d of %d found, %d send errors, slowed down %d times", totals.Verdicts[match.Open], all.Size(), totals.SendErrors, s.Backoff().Drops)
		}
	})
}

// The kernel has no room for one more neighbour for three seconds: a scan by raw IP sockets waits for that, and in the end every target is
// found. Whole frames need no room.
func TestLabNeighbourTableFull(t *testing.T) {
	for _, layer := range []rawshake.Layer{rawshake.LayerIP, rawshake.LayerEthernet} {
		t.Run(layer.String(), func(t *testing.T) {
			both(t, 9, func(t *testing.T, n *lab.Net, prefix string) {
				far := netip.MustParsePrefix(prefix)
				near := n.Host("peer").Addr(far.Addr().Is6())
				n.Host("peer").Respond(t, lab.Responder{})
				c := Config{Targets: space(t, "80", prefix, near.String()), Layer: layer, Timeout: 500 * ms}
				for tries := 1; !testCrowded(t, n.Prober(), c, near); tries++ {
					if tries == 5 {
						t.Fatal("other programs make room in the table of neighbours")
					}
				}
			})
		})
	}
}

// testCrowded reports whether there was no room for the neighbour for a second.
func testCrowded(t *testing.T, prober *lab.Host, c Config, near netip.Addr) bool {
	prober.CrowdNeighbours(t, near.Is6())
	room := time.Now().Add(time.Second)
	known := make(chan bool)
	time.AfterFunc(time.Until(room), func() { known <- prober.Knows(t, near) })
	var found []engine.Verdict
	scanAll(t, c, func(v *engine.Verdict) {
		if v.State != match.Open {
			t.Errorf("%v is %v, %v", v.Target, v.State, v.Reason)
		}
		found = append(found, *v)
	})
	if <-known {
		return false
	}
	slices.SortFunc(found, func(a, b engine.Verdict) int { return cmp.Compare(a.Time, b.Time) })
	first, last := found[0], found[len(found)-1]
	switch {
	case c.Layer == rawshake.LayerIP && time.Unix(0, first.Time).Before(room):
		t.Errorf("%v was found without room", first.Target)
	case c.Layer == rawshake.LayerEthernet && !time.Unix(0, last.Time).Before(room):
		t.Errorf("whole frames to %v waited for room", last.Target)
	}
	return true
}

// A device takes no whole frames because its queue is full, be it by AF_XDP or, where others have that, by a packet socket. When
// somebody reads the queue again, the scan goes on by itself.
func TestLabFullDevice(t *testing.T) {
	for name, taken := range map[string]int{"AF_XDP": 0, "packet socket": 1} {
		for family, c := range map[string]behindTap{
			"v4": {"10.90.0.1/24", "10.90.0.2", "10.91.0.0/20"}, "v6": {"fd90::1/64", "fd90::2", "fd91::/116"},
		} {
			t.Run(name+"/"+family, func(t *testing.T) {
				t.Parallel()
				lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
					tap := c.make(t, n.Prober())
					takeQueues(t, tap.Index, taken)
					wire := tap.Capture(t)
					fullForAWhile(t, tap, space(t, "80", c.to))
					fullForGood(t, tap, space(t, "81", c.to))
					for _, p := range wire.Packets(t) {
						if p.Out && p.Flags() == "S" { // frames of both kinds pass by whoever captures where they leave
							t.Fatalf("this was no whole frame: %v", p)
						}
					}
				})
			})
		}
	}
}

// behindTap are 2^12 open targets behind a gateway on a TAP device.
type behindTap struct{ own, gateway, to string }

func (b behindTap) make(t *testing.T, prober *lab.Host) *lab.Tunnel {
	tap := prober.Tap(t, "tap0", func(p lab.Packet) []lab.Answer {
		if p.Flags() != "S" {
			return nil
		}
		return lab.Now(p.SYNACK())
	})
	gateway := netip.MustParseAddr(b.gateway)
	prober.AddAddress(t, tap.Name, netip.MustParsePrefix(b.own))
	prober.AddNeighbour(t, tap.Name, gateway, prober.Interfaces[0].NeighbourMAC) // so that frames leave from the beginning
	prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix(b.to), Via: gateway})
	return tap
}

// fullForAWhile is for longer than what the device has taken may wait for its answer.
func fullForAWhile(t *testing.T, tap *lab.Tunnel, all *target.Space) {
	time.AfterFunc(1300*ms, tap.Hold())
	s, err := New(Config{Targets: all, Rate: -1, Lanes: 1, Attempts: 1, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), newTally(t, all)); err != nil {
		t.Fatal(err)
	}
	totals := s.Totals()
	t.Logf("%+v, %+v", totals, s.Backoff())
	if totals.Verdicts[match.Open] != all.Size() || totals.SendErrors == 0 || totals.Requeued == 0 || s.Backoff().Drops == 0 {
		t.Errorf("%d of %d found, %+v, slowed down %+v", totals.Verdicts[match.Open], all.Size(), totals, s.Backoff())
	}
}

// fullForGood is until the scan has given up. Then it is continued.
func fullForGood(t *testing.T, tap *lab.Tunnel, all *target.Space) {
	release := tap.Hold()
	defer release()
	var l log
	c := Config{Targets: all, Rate: -1, Lanes: 1, Timeout: 300 * ms, Outage: 400 * ms}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	var gone *OutageError
	if err := s.Run(t.Context(), &l); !errors.As(err, &gone) || !strings.Contains(err.Error(), "interface tap0 is up, but takes no packets") {
		t.Fatalf("Run returned %v", err)
	}
	if l.state.Totals.Incomplete > 0 || l.state.Totals.Verdicts[match.Filtered] > 0 {
		t.Errorf("%+v", l.state.Totals)
	}
	release()
	c.Resume, c.Timeout = l.state, 3*time.Second // a busy machine answers late
	if s, err = New(c); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), &l); err != nil {
		t.Fatal(err)
	}
	l.commit()
	if totals := s.Totals(); totals.Verdicts[match.Open] != all.Size() || uint64(len(once(t, l.kept))) != all.Size() {
		t.Errorf("%d targets have a verdict, %+v", len(once(t, l.kept)), totals)
	}
}

// clogVariable has TestLabClog clog eth0, or free it.
const clogVariable = "RAWSHAKE_CLOG"

func clog(t *testing.T, h *lab.Host, to string) {
	var out strings.Builder
	if code := h.Run(t, lab.Command{
		Args: []string{"-test.run=^TestLabClog$", "-test.count=1"}, Env: []string{clogVariable + "=" + to}, As: lab.Root, Stdout: &out, Stderr: &out,
	}); code != 0 {
		t.Errorf("clog %s: exit code %d: %s", to, code, out.String())
	}
}

// TestLabClog is what [clog] runs.
func TestLabClog(t *testing.T) {
	to := os.Getenv(clogVariable)
	if to == "" {
		return // it is no test of its own
	}
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	const bucket = 200 // bytes: two packets leave, two wait, and one byte a second drips
	q := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       1, Buffer: bucket * uint32(time.Second/64), Limit: bucket,
	}
	change := netlink.QdiscAdd
	if to == "off" {
		change = func(q netlink.Qdisc) error { return netlink.QdiscDel(q) }
	}
	if err := change(q); err != nil {
		t.Fatal(err)
	}
}
