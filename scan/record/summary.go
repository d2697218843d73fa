package record

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/rawshake/rawshake/match"
)

// Summary is what several probes of one target add up to.
type Summary struct {
	Time           time.Time      // if zero, absent
	Target         string         // as the user wrote it, with its port
	Addr           netip.AddrPort // what was asked; if invalid, absent
	Sent, Received uint64         // probes, and those of them that the target answered
	Pending        uint64         // those of Sent that have no verdict yet, and are neither answered nor lost; if zero, absent

	Verdicts [match.NumStates]uint64 // by state; those that are unsent are not among Sent

	// Wire times of the answers; absent when Max is 0: none came, or their times cannot be told. Mdev is the standard deviation over all of them, as ping
	// prints it. P95 is the 95th percentile by nearest rank.
	Min, Avg, Max, Mdev, P95 time.Duration
}

// Loss returns the part of the probes that was not answered, from 0 to 1, of those that have their verdict. While none has, it is 0,
// and absent in what is written.
func (s *Summary) Loss() float64 {
	if !s.decided() {
		return 0
	}
	settled := s.Sent - s.Pending
	return float64(settled-s.Received) / float64(settled)
}

// decided reports whether a probe that was sent has its verdict.
func (s *Summary) decided() bool { return s.Sent > s.Pending }

// maxSamples bounds the memory of a Tally at half a megabyte.
const maxSamples = 1 << 16

// Tally adds up the probes of one target. Its zero value is ready. It is not safe for concurrent use.
//
// Its memory is bounded: up to 65536 answers every figure is exact, beyond that the 95th percentile is taken from an
// even random sample of that size, and the others stay exact.
type Tally struct {
	sent, received uint64
	min, max       time.Duration
	mean, squares  float64 // Welford's running mean and sum of squared differences: no cancellation
	samples        []time.Duration
}

// Answered counts a probe that the target answered after rtt.
func (t *Tally) Answered(rtt time.Duration) {
	t.sent++
	t.received++
	if t.received == 1 || rtt < t.min {
		t.min = rtt
	}
	t.max = max(t.max, rtt)
	delta := float64(rtt) - t.mean
	t.mean += delta / float64(t.received)
	t.squares += delta * (float64(rtt) - t.mean)
	t.sample(rtt)
}

// sample keeps rtt, or lets it take the place of another so that each answer has the same chance to be kept.
func (t *Tally) sample(rtt time.Duration) {
	if len(t.samples) < maxSamples {
		t.samples = append(t.samples, rtt)
	} else if i := rand.Uint64N(t.received); i < maxSamples {
		t.samples[i] = rtt
	}
}

// Lost counts a probe without an answer.
func (t *Tally) Lost() { t.sent++ }

// Summary returns the figures so far.
func (t *Tally) Summary(target string, now time.Time) Summary {
	s := Summary{Time: now, Target: target, Sent: t.sent, Received: t.received, Min: t.min, Max: t.max}
	if t.received == 0 {
		return s
	}
	s.Avg = time.Duration(math.Round(t.mean))
	s.Mdev = time.Duration(math.Round(math.Sqrt(t.squares / float64(t.received))))
	s.P95 = percentile(t.samples, 95)
	return s
}

// percentile returns the p-th percentile of samples by nearest rank: the smallest sample that at least p percent of
// them do not exceed.
func percentile(samples []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(samples))
	rank := (len(sorted)*p + 99) / 100
	return sorted[rank-1]
}
