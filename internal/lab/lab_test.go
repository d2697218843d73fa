//go:build linux && !android

package lab_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
)

func TestLabPrivileges(t *testing.T) {
	for _, c := range []struct {
		as                   lab.Privilege
		uid                  int
		effective, bounding  string
		inheritable, ambient string
	}{
		{lab.NetRaw, 65534, "2000", "2000", "2000", "2000"},
	} {
		lab.Test(t, lab.Topology{As: c.as}, func(t *testing.T, n *lab.Net) {
			status, err := os.ReadFile("/proc/thread-self/status")
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s", status)
		})
	}
}

func TestLabKernelConnect(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		listener := peer.Listen(t, 80)
		wire := peer.Capture(t)
		for _, v6 := range []bool{false, true} {
			target := netip.AddrPortFrom(peer.Addr(v6), 80)
			dial(t, target, nil)
			wire.Expect(t, target, lab.Sent("S"), lab.SYNACK(), lab.Sent("."), lab.Sent("R."))
		}
		if n := listener.Accepted(); n != 2 {
			t.Errorf("accepted %d", n)
		}
		wire.ExpectNothingElse(t)
	})
}

// dial connects and resets, and wants that error.
func dial(t *testing.T, target netip.AddrPort, want error) {
	t.Helper()
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.Dial("tcp", target.String())
	if !errors.Is(err, want) {
		t.Errorf("dial %s: %v, not %v", target, err, want)
	}
	if err == nil {
		time.Sleep(10 * time.Millisecond)
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

var _ = strings.Fields
var _ = syscall.Stat
