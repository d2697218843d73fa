//go:build linux && !android

package scan

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/rawshake/rawshake/scan/order"
	"github.com/rawshake/rawshake/scan/pace"
	"github.com/rawshake/rawshake/scan/target"
)

// feed hands a lane its targets, as numbers in the space: first those that an earlier session left without a verdict, then the
// lane's share of the order. Those whose host or network was asked just now wait.
type feed struct {
	space *target.Space
	order *order.Iterator
	ahead []uint64 // taken, not yet handed out
	buf   [256]uint64
	hosts *pace.HostLimiter // nil: no such limits
	base  time.Duration     // the shard's time zero on the scan's clock, which the limits of all lanes go by
}

// shard returns the part of the order that is scanned.
func (c Config) shard() order.Shard {
	if c.Shard.N == 0 {
		return order.Shard{I: 1, N: 1}
	}
	return c.Shard
}

// laneShard returns the share of one of n lanes: every n-th position of the scan's own shard.
func (c Config) laneShard(lane, n int) order.Shard {
	s := c.shard()
	return order.Shard{I: s.I + s.N*uint64(lane), N: s.N * uint64(n)}
}

// hostLimiter returns the limits of hosts and networks, for the lanes to share; nil if there are none.
func (c Config) hostLimiter() *pace.HostLimiter {
	if c.HostRate <= 0 && c.NetRate <= 0 {
		return nil
	}
	return pace.NewHostLimiter(pace.HostConfig{PerHost: c.HostRate, PerNet: c.NetRate})
}

func newFeed(c Config, lane, lanes int, hosts *pace.HostLimiter) (*feed, error) {
	f := &feed{space: c.Targets, hosts: hosts}
	if hosts != nil && lane > 0 {
		f.hosts = hosts.Share()
	}
	var from uint64
	if c.Resume != nil {
		was := c.Resume.Lanes[lane]
		for _, i := range was.Pending {
			if i >= c.Targets.Size() {
				return nil, fmt.Errorf("target %d of %d waits for its verdict: the targets are not those that the scan began with", i, c.Targets.Size())
			}
		}
		from, f.ahead = was.Position, spread(was.Pending, c.Seed)
	}
	var err error
	f.order, err = order.NewIterator(order.New(c.Targets.Size(), c.Seed), c.laneShard(lane, lanes), from)
	return f, err
}

// spread puts numbers in an order that the seed gives. A checkpoint has them sorted: up to a million SYNs would go to one host and
// one network after the other.
func spread(numbers target.Numbers, seed uint64) []uint64 {
	p := order.New(uint64(len(numbers)), seed)
	all := make([]uint64, len(numbers))
	for i := range all {
		all[i] = numbers[p.At(uint64(i))]
	}
	return all
}

// next returns a target that may be asked now; or false, and how long until it is worth coming again.
func (f *feed) next(now time.Duration) (netip.AddrPort, bool, time.Duration) {
	if f.hosts != nil {
		return f.politely(int64(f.base + now))
	}
	i, ok := f.take()
	if !ok {
		return netip.AddrPort{}, false, napAtMost
	}
	return f.space.At(i), true, 0
}

// politely is next under the limits of hosts and networks.
func (f *feed) politely(now int64) (netip.AddrPort, bool, time.Duration) {
	if i, ok := f.hosts.Next(now); ok {
		return f.space.At(i), true, 0
	}
	for {
		i, ok := f.take()
		if !ok {
			break
		}
		t := f.space.At(i)
		switch f.hosts.Admit(now, t.Addr(), i) {
		case pace.Go:
			return t, true, 0
		case pace.Full:
			f.ahead = append(f.ahead, i)
			return t, false, f.due(now)
		}
	}
	return netip.AddrPort{}, false, f.due(now)
}

// again counts a later attempt to a host.
func (f *feed) again(now time.Duration, to netip.Addr) { f.hosts.Charge(int64(f.base+now), to) }

// due returns how long until a waiting target's time comes.
func (f *feed) due(now int64) time.Duration {
	if at, ok := f.hosts.Due(); ok {
		return max(time.Duration(at-now), 1)
	}
	return napAtMost
}

// take returns the next target in order.
func (f *feed) take() (uint64, bool) {
	if len(f.ahead) == 0 {
		_, n := f.order.Next(f.buf[:])
		if n == 0 {
			return 0, false
		}
		slices.Reverse(f.buf[:n]) // the last is taken first
		f.ahead = f.buf[:n:n]
	}
	last := len(f.ahead) - 1
	i := f.ahead[last]
	f.ahead = f.ahead[:last]
	return i, true
}

// giveBack takes a target back that next has handed out.
func (f *feed) giveBack(t netip.AddrPort) {
	i, _ := f.space.Index(t) // it came from there
	f.ahead = append(f.ahead, i)
}

// ended reports whether every target was handed out.
func (f *feed) ended() bool {
	return len(f.ahead) == 0 && f.order.Position() == f.order.Size() && (f.hosts == nil || f.hosts.Len() == 0)
}

// position returns how much of the lane's share is behind, what waits here included.
func (f *feed) position() uint64 { return f.order.Position() }

// waits returns how many targets were taken and not handed out.
func (f *feed) waits() int {
	if f.hosts == nil {
		return len(f.ahead)
	}
	return len(f.ahead) + f.hosts.Len()
}

// appendWaiting appends the targets that were taken and not handed out.
func (f *feed) appendWaiting(n target.Numbers) target.Numbers {
	n = append(n, f.ahead...)
	if f.hosts == nil {
		return n
	}
	return slices.AppendSeq(n, f.hosts.Items())
}
