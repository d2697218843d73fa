package targets

import (
	"context"
	"io"
	"iter"
	"net/netip"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/scan/order"
)

// Order is the order in which a set is gone through, and the part of it.
type Order struct {
	Seed  uint64
	Shard order.Shard
}

// walk yields the targets of a shard that may be sent to, in scan order.
func (s *Set) walk(o Order) (iter.Seq[netip.AddrPort], error) {
	it, err := order.NewIterator(order.New(s.Size(), o.Seed), o.Shard, 0)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	return func(yield func(netip.AddrPort) bool) {
		var numbers [256]uint64
		for _, n := it.Next(numbers[:]); n > 0; _, n = it.Next(numbers[:]) {
			for _, i := range numbers[:n] {
				if t := s.At(i); s.allows(t) && !yield(t) {
					return
				}
			}
		}
	}, nil
}

func (s *Set) allows(t netip.AddrPort) bool {
	return s.Outside == 0 || s.Scope.Contains(t.Addr())
}

// chunk is how many bytes Expand writes at once.
const chunk = 64 << 10

// Expand writes the targets of a shard that may be sent to, as addr:port lines in scan order.
func Expand(ctx context.Context, w io.Writer, s *Set, o Order) error {
	all, err := s.walk(o)
	if err != nil {
		return err
	}
	buf := make([]byte, 0, chunk+128)
	for t := range all {
		buf = append(t.AppendTo(buf), '\n')
		if len(buf) < chunk {
			continue
		}
		if _, err := w.Write(buf); err != nil {
			return exit.With(exit.System, err)
		}
		if buf = buf[:0]; ctx.Err() != nil {
			return exit.Ended(ctx)
		}
	}
	_, err = w.Write(buf)
	return exit.With(exit.System, err)
}

// Count returns how many lines Expand writes. It goes through the order only where a scope cuts into a shard.
func Count(ctx context.Context, s *Set, o Order) (n uint64, err error) {
	switch {
	case s.Outside == 0:
		return o.Shard.Size(s.Size()), nil
	case o.Shard.Size(s.Size()) == s.Size():
		return s.Size() - s.Outside, nil
	}
	all, err := s.walk(o)
	if err != nil {
		return 0, err
	}
	for range all {
		if n++; n%chunk == 0 && ctx.Err() != nil {
			return 0, exit.Ended(ctx)
		}
	}
	return n, nil
}
