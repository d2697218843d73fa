package target_test

import (
	"math/rand/v2"
	"net/netip"
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
