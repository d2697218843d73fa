package target_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/scan/target"
)

func TestParsePorts(t *testing.T) {
	for _, test := range []struct {
		list, want string
		n          int
	}{
		{"80", "80", 1},
		{"443, 80", "80,443", 2},
		{"80,443,8000-8100", "80,443,8000-8100", 103},
		{"1-3,2-5,6", "1-6", 6},
		{"5,5,5", "5", 1},
		{"-", "1-65535", 65535},
		{"-1024", "1-1024", 1024},
		{"65000-", "65000-65535", 536},
		{"65535,1", "1,65535", 2},
		{"80-80", "80", 1},
	} {
		p, err := target.ParsePorts(test.list)
		if err != nil || p.String() != test.want || p.Len() != test.n {
			t.Errorf("%q: got %v with %d ports, error %v; want %s with %d", test.list, p, p.Len(), err, test.want, test.n)
		}
		if all := slices.Collect(p.All()); len(all) != test.n || !slices.IsSorted(all) {
			t.Errorf("%q: All yields %d ports", test.list, len(all))
		}
	}
}

func TestBrokenPorts(t *testing.T) {
	for list, want := range map[string]string{
		"":       "a port is missing",
		"80,":    "a port is missing",
		"0":      `"0" is not a port: ports are numbers from 1 to 65535`,
		"65536":  `"65536" is not a port`,
		"http":   `"http" is not a port`,
		"80-70":  "the range 80-70 ends before it begins: write 70-80",
		"1-2-3":  `"2-3" is not a port`,
		"80 443": `"80 443" is not a port`,
		"+80":    `"+80" is not a port`,
	} {
		_, err := target.ParsePorts(list)
		var broken *target.Error
		if !errors.As(err, &broken) || broken.Text != list || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want: %s", list, err, want)
		}
	}
}

func TestPortsUnion(t *testing.T) {
	a, b := mustPorts(t, "80,443,1000-1010"), mustPorts(t, "81,443,1011,65535")
	for range 2 {
		if got := a.Union(b).String(); got != "80-81,443,1000-1011,65535" {
			t.Errorf("%v and %v are %s", a, b, got)
		}
		a, b = b, a
	}
	if got := a.Union(target.Ports{}); got.String() != a.String() || got.Len() != a.Len() {
		t.Errorf("%v and nothing are %v", a, got)
	}
}

func TestPortsContain(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var parts []string
	want := map[uint16]bool{}
	for range 300 {
		p := uint16(1 + r.IntN(65535))
		parts = append(parts, strconv.Itoa(int(p)))
		want[p] = true
	}
	p := mustPorts(t, strings.Join(parts, ","))
	if p.Len() != len(want) || p.Contains(0) || (target.Ports{}).Contains(80) {
		t.Errorf("%d ports, want %d", p.Len(), len(want))
	}
	for port := range uint16(65535) {
		if p.Contains(port) != want[port] {
			t.Fatalf("Contains(%d) = %v", port, !want[port])
		}
	}
}

func FuzzParsePorts(f *testing.F) {
	f.Add("80,443,8000-8100")
	f.Fuzz(func(t *testing.T, list string) {
		p, err := target.ParsePorts(list)
		if err != nil {
			return
		}
		again, err := target.ParsePorts(p.String())
		if err != nil || again.String() != p.String() || p.Len() == 0 {
			t.Errorf("%q is %v with %d ports; read again %v, %v", list, p, p.Len(), again, err)
		}
	})
}
