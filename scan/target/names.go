package target

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Resolver looks names up; *net.Resolver is one. LookupNetIP is called once for each name, for several names at
// the same time.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// lookups is how many names are being resolved at a time.
const lookups = 16

// answer is what a name resolved to.
type answer struct {
	addrs []netip.Addr
	err   error
}

// resolveNames resolves what is pending and adds it to the families.
func (s *Spec) resolveNames(ctx context.Context) (map[string][]netip.Addr, []Unresolved, error) {
	answers := s.lookUp(ctx)
	if err := ctx.Err(); err != nil && len(answers) > 0 {
		return nil, nil, err
	}
	pinned := make(map[string][]netip.Addr, len(answers))
	var skipped, fatal []Unresolved
	for _, p := range s.pending {
		a := answers[p.name]
		if a.err == nil {
			pinned[p.name] = a.addrs
			continue
		}
		list := &fatal
		if s.SkipUnresolved && !p.exclude {
			list = &skipped
		}
		*list = append(*list, Unresolved{p.file, p.line, p.name, a.err, s.portsOf(p), p.label})
	}
	if len(fatal) > 0 {
		return nil, nil, &UnresolvedError{fatal}
	}
	for _, p := range s.pending {
		s.addName(p, pinned[p.name])
	}
	return pinned, skipped, nil
}

// portsOf returns what is asked of a name.
func (s *Spec) portsOf(p pendingName) Ports {
	switch {
	case p.exclude:
		return Ports{}
	case p.ports == 0:
		return s.Ports
	}
	return Ports{slices.Clone(s.table.get(p.ports))}
}

// addName excludes every address of a name, whatever AllAddresses says: an exclusion must hold.
func (s *Spec) addName(p pendingName, addrs []netip.Addr) {
	if p.exclude {
		for _, a := range addrs {
			s.cutRange(single(a), p.ports)
		}
		return
	}
	if !s.AllAddresses {
		addrs = addrs[:min(1, len(addrs))]
	}
	for _, a := range addrs {
		s.addRange(single(a), p.ports, p.label, p.name)
	}
}

// lookUp resolves each pending name once.
func (s *Spec) lookUp(ctx context.Context) map[string]answer {
	answers := make(map[string]answer)
	var mu sync.Mutex
	var wg sync.WaitGroup
	free := make(chan struct{}, lookups)
	for name := range s.pendingNames() {
		free <- struct{}{}
		wg.Go(func() {
			a := s.lookUpOne(ctx, name)
			mu.Lock()
			answers[name] = a
			mu.Unlock()
			<-free
		})
	}
	wg.Wait()
	return answers
}

func (s *Spec) pendingNames() map[string]struct{} {
	names := make(map[string]struct{})
	for _, p := range s.pending {
		names[p.name] = struct{}{}
	}
	return names
}

func (s *Spec) lookUpOne(ctx context.Context, name string) (a answer) {
	if addrs := s.Pinned[name]; len(addrs) > 0 {
		return answer{addrs: addrs}
	}
	var r Resolver = net.DefaultResolver
	if s.Resolver != nil {
		r = s.Resolver
	}
	network := s.Network
	if network == "" {
		network = "ip"
	}
	a.addrs, a.err = r.LookupNetIP(ctx, network, name)
	if a.err == nil && len(a.addrs) == 0 {
		a.err = errors.New("the name has no address")
	}
	return a
}
