package target_test

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/scan/target"
)

// TestDensest compares with a count over all targets.
func TestDensest(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		s := target.Spec{Ports: mustPorts(t, "1-3")}
		for range random.IntN(20) {
			if err := s.Add(randomLine(random).text); err != nil {
				t.Fatal(err)
			}
		}
		space := compile(t, &s)
		for _, bits := range [][2]int{{32, 128}, {30, 126}, {24, 64}, {28, 121}} {
			type network struct {
				netip.Prefix
				zone string
			}
			counts, want := map[network]uint64{}, uint64(0)
			for i := range space.Size() {
				a := space.At(i).Addr()
				length := bits[0]
				if a.Is6() {
					length = bits[1]
				}
				p, err := a.Prefix(length)
				if err != nil {
					t.Fatal(err)
				}
				n := network{p, a.Zone()}
				counts[n]++
				want = max(want, counts[n])
			}
			if got := space.Densest(bits[0], bits[1]); got != want {
				t.Fatalf("%v: %d, want %d of %d targets", bits, got, want, space.Size())
			}
		}
	}
}

// TestStarts: each range begins where its first target is, and together they begin with every address that has another behind it.
func TestStarts(t *testing.T) {
	s := target.Spec{Ports: mustPorts(t, "1-3")}
	for _, text := range []string{"10.0.1.0/24", "10.0.0.0/24", "10.0.1.7:80", "fe80::1%a", "fe80::2%a", "fe80::1%b", "2001:db8::/112"} {
		if err := s.Add(text); err != nil {
			t.Fatal(err)
		}
	}
	space := compile(t, &s)
	var got []string
	for i := range space.Starts() {
		got = append(got, space.At(i).String())
	}
	if want := "10.0.0.0:1 10.0.1.7:1 10.0.1.8:1 [2001:db8::]:1 [fe80::1%a]:1 [fe80::1%b]:1"; strings.Join(got, " ") != want {
		t.Errorf("%s", got)
	}
	for first := range space.Starts() {
		if first != 0 {
			t.Error("the first is not the first")
		}
		break
	}
}

// TestDensestWide: networks are not gone through by address.
func TestDensestWide(t *testing.T) {
	s := target.Spec{Ports: mustPorts(t, "1-3")}
	for _, text := range []string{"10.0.0.0/8", "11.0.0.0/25", "10.9.8.7:80", "2001:db8::/104"} {
		if err := s.Add(text); err != nil {
			t.Fatal(err)
		}
	}
	space := compile(t, &s)
	for _, test := range []struct{ bits4, bits6, want int }{{32, 128, 4}, {24, 96, 3 << 24}, {24, 128, 3*256 + 1}, {8, 128, 3<<24 + 1}} {
		if got := space.Densest(test.bits4, test.bits6); got != uint64(test.want) {
			t.Errorf("%+v: %d", test, got)
		}
	}
}
