//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
)

// TestLabPrivilege opens Probers as users who may and who may not, and holds what they are told.
func TestLabPrivilege(t *testing.T) {
	for _, c := range []struct {
		name string
		as   lab.Privilege
		says []string // nothing: it works
	}{
		{"CAP_NET_RAW alone", lab.NetRaw, nil},
		{"root", lab.Root, nil},
		{"a plain user", lab.Nobody, []string{"CAP_NET_RAW", "setcap cap_net_raw"}},
		{"a container without it", lab.Confined, []string{"CAP_NET_RAW", "--cap-add"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			lab.Test(t, lab.Topology{As: c.as}, func(t *testing.T, n *lab.Net) {
				peer := n.Host("peer")
				peer.Listen(t, 80)
				raw := len(c.says) == 0

				p, err := rawshake.New(rawshake.Config{})
				if (err == nil) != raw || !raw && !errors.Is(err, os.ErrPermission) {
					t.Fatalf("New: %v", err)
				}
				for _, words := range c.says {
					if !strings.Contains(err.Error(), words) {
						t.Errorf("the error does not say %q: %v", words, err)
					}
				}
				if raw {
					p.Close()
				} else {
					t.Log(err)
				}

				if c.as == lab.NetRaw { // the one thing that it may not do is no reason to fall back
					_, err := rawshake.New(rawshake.Config{Method: rawshake.MethodAuto, SourcePorts: rawshake.PortRange{First: 80, Last: 90}})
					if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_BIND_SERVICE") {
						t.Errorf("source ports below 1024: %v", err)
					}
				}

				var log strings.Builder
				p, err = rawshake.New(rawshake.Config{Method: rawshake.MethodAuto, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				if err != nil {
					t.Fatalf("New with MethodAuto: %v", err)
				}
				defer p.Close()
				method := map[bool]rawshake.Method{true: rawshake.MethodRaw, false: rawshake.MethodConnect}[raw]
				for _, target := range []netip.AddrPort{at(peer.V4, 80), at(peer.V6, 80)} {
					if r, err := p.Probe(t.Context(), target); err != nil || r.State != rawshake.Open || r.Method != method {
						t.Errorf("%v is %v by %v, %v, want open by %v", target, r.State, r.Method, err, method)
					}
				}
				if lines := strings.Count(log.String(), "\n"); (lines == 0) != raw || lines > 1 {
					t.Errorf("log: %s", log.String())
				}
			})
		})
	}
}
