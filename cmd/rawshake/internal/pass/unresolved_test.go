//go:build linux && !android

package pass

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/order"
	"github.com/rawshake/rawshake/scan/record"
	"github.com/rawshake/rawshake/scan/target"
)

// TestUnresolved: each name and port is in one shard, once, however many lines name it.
func TestUnresolved(t *testing.T) {
	gone := errors.New("no such host")
	var names []target.Unresolved
	for _, c := range []struct{ name, ports string }{{"a.example", "80,443"}, {"b.example", "1-100"}, {"a.example", "443-445"}} {
		ports, err := target.ParsePorts(c.ports)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, target.Unresolved{Name: c.name, Ports: ports, Err: gone, Label: "front"})
	}
	want := []string{"a.example:443", "a.example:444", "a.example:445", "a.example:80"}
	for port := 1; port <= 100; port++ {
		want = append(want, fmt.Sprintf("b.example:%d", port))
	}
	slices.Sort(want)
	for n := range uint64(7) {
		var got []string
		for i := range n {
			u := newUnresolved(names, order.Shard{I: i + 1, N: n})
			before := len(got)
			u.records(func(r *record.Record) error {
				got = append(got, r.Name)
				if r.State != match.Unsent || r.Err != "no such host" || r.Label != "front" || r.Target.IsValid() || r.Reason != match.NoName || !strings.HasSuffix(r.Name, fmt.Sprint(":", r.Target.Port())) {
					t.Errorf("%+v", r)
				}
				return nil
			})
			if uint64(len(got)-before) != u.count {
				t.Errorf("shard %d/%d: %d records, %d counted", i+1, n, len(got)-before, u.count)
			}
		}
		if slices.Sort(got); n > 0 && !slices.Equal(got, want) {
			t.Errorf("%d shards: %q", n, got)
		}
	}
	if u := newUnresolved(names, order.Shard{}); u.count != 104 {
		t.Errorf("%d of all", u.count)
	}
	stop := errors.New("stop")
	if err := newUnresolved(names, order.Shard{}).records(func(*record.Record) error { return stop }); err != stop {
		t.Errorf("error %v", err)
	}
}
