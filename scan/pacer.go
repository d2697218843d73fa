//go:build linux && !android

package scan

import (
	"time"

	"github.com/rawshake/rawshake/scan/pace"
)

// pacer gives a lane its part of the rate that all lanes share. It translates the clock of the lane's shard.
type pacer struct {
	limiter *pace.Limiter
	base    time.Duration // the shard's time zero on the scan's clock
}

// Take implements engine.Pacer.
func (p *pacer) Take(now time.Duration, want int) (int, time.Duration) {
	return p.limiter.Take(int64(p.base+now), want)
}

// Charge implements engine.Pacer.
func (p *pacer) Charge(now time.Duration, n int) { p.limiter.Charge(int64(p.base+now), n) }

// loss slows down: this machine loses packets.
func (p *pacer) loss(now time.Duration) { p.limiter.Drop(int64(p.base + now)) }
