//go:build linux && !android

package pass

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/raw"
	"github.com/rawshake/rawshake/scan/order"
)

// way is how packets get to targets.
type way struct {
	device          string
	source, gateway netip.Addr
	problem         string // why they do not
}

// share is how many targets go one way.
type share struct {
	way
	n, of uint64
	whole bool // of are all targets, not a sample
}

func (w way) String() string {
	switch {
	case w.problem != "":
		return w.problem
	case w.gateway.IsValid():
		return fmt.Sprintf("%s from %v via %v", w.device, w.source, w.gateway)
	}
	return fmt.Sprintf("%s from %v, on the link", w.device, w.source)
}

func (s share) String() string {
	switch percent := 100 * float64(s.n) / float64(s.of); {
	case s.whole:
		return fmt.Sprintf("%v: %s", s.way, targets.Amount(s.n, "target"))
	case percent < 0.05:
		return fmt.Sprintf("%v: less than 0.1 %% of the targets", s.way)
	case percent > 99.95:
		return fmt.Sprintf("%v: more than 99.9 %% of the targets", s.way)
	default:
		return fmt.Sprintf("%v: about %.1f %% of the targets", s.way, percent)
	}
}

// samples is up to how many targets are looked up, and as many first ones of ranges.
const samples = 1 << 14

// ways looks up how packets get to the targets: to all of them, or to those that come first in the order, which are a fair sample, and
// to the first of each range, which may be the only ones that go their way.
func (p plan) ways() (all []share, whole bool, err error) {
	routes, err := raw.OpenRoutes(raw.RouteConfig{Source: p.Source, Interface: p.Interface, Mark: p.Mark})
	if err != nil {
		return nil, false, err
	}
	defer routes.Close()
	it, err := order.NewIterator(order.New(p.set.Size(), p.Order.Seed), p.Order.Shard, 0)
	if err != nil {
		return nil, false, err
	}
	numbers := make([]uint64, samples)
	_, n := it.Next(numbers)
	counts := map[way]uint64{}
	for _, i := range numbers[:n] {
		counts[p.way(routes, p.set.At(i).Addr())]++
	}
	if whole = uint64(n) == p.size; !whole {
		p.addFirsts(routes, counts)
	}
	return sorted(counts, uint64(n), whole), whole, nil
}

// addFirsts adds the ways of the first targets of ranges, if they are not among the counts.
func (p plan) addFirsts(routes *raw.Routes, counts map[way]uint64) {
	n := 0
	for i := range p.set.Starts() {
		if n++; n > samples {
			return
		}
		counts[p.way(routes, p.set.At(i).Addr())] += 0
	}
}

func (p plan) way(routes *raw.Routes, to netip.Addr) way {
	if p.set.Scope != nil && !p.set.Scope.Contains(to) {
		return way{problem: "outside the scope, nothing is sent"}
	}
	r, err := routes.Lookup(to)
	if err != nil {
		return way{problem: "no way: " + err.Error()}
	}
	device := fmt.Sprintf("interface %d", r.Interface)
	if i, err := net.InterfaceByIndex(r.Interface); err == nil {
		device = i.Name
	}
	return way{device: device, source: r.Source, gateway: r.Gateway}
}

// sorted puts the ways that most targets go first.
func sorted(counts map[way]uint64, of uint64, whole bool) []share {
	var all []share
	for w, n := range counts {
		all = append(all, share{w, n, of, whole})
	}
	slices.SortFunc(all, func(a, b share) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.way.String(), b.way.String()))
	})
	return all
}
