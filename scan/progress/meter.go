package progress

import (
	"math"
	"time"

	"github.com/rawshake/rawshake/match"
)

// Snapshot is the counters of a scan at one moment.
type Snapshot struct {
	Total    uint64                  // targets; 0 when nobody knows
	Verdicts [match.NumStates]uint64 // by state, those of sessions before a resume included
	Sent     uint64                  // SYNs
	InFlight uint64                  // targets that wait for an answer
	Timeout  time.Duration           // how long they do at most

	RingDrops  uint64 // packets that our receive ring lost
	SendErrors uint64 // packets that the kernel did not take
	Note       string // what else the user should know now: "rate halved, the ring drops"; empty: nothing
}

// asked returns how many targets have their verdict or wait for an answer. It may be off by a few: the two are not read at once.
func (s *Snapshot) asked() float64 { return float64(s.Done()) + float64(s.InFlight) }

// Done returns the number of verdicts.
func (s *Snapshot) Done() (n uint64) {
	for _, v := range s.Verdicts {
		n += v
	}
	return n
}

// View is a snapshot with what follows from those before it.
type View struct {
	Snapshot
	Rate float64       // SYNs a second, over the last seconds
	Left time.Duration // until the end; negative when unknown
}

// How long the past counts: the rate should follow a change, the time left should not jump.
const (
	rateMemory = 2 * time.Second
	leftMemory = 15 * time.Second
)

// Meter turns snapshots into views. Its zero value is ready. It is not safe for concurrent use.
type Meter struct {
	started     bool
	last        Snapshot
	at          time.Time
	grown       time.Time // when the last targets were asked
	sent, asked average
}

// View adds the snapshot of a moment. The first one is the base: its rate is 0.
func (m *Meter) View(s Snapshot, now time.Time) View {
	if elapsed := now.Sub(m.at); m.started && elapsed > 0 {
		m.sent.add(float64(s.Sent-m.last.Sent)/elapsed.Seconds(), elapsed, rateMemory)
		m.asked.add((s.asked()-m.last.asked())/elapsed.Seconds(), elapsed, leftMemory)
	}
	if !m.started || s.asked() > m.last.asked() {
		m.grown = now
	}
	if !m.started || now.After(m.at) {
		m.started, m.last, m.at = true, s, now
	}
	return View{Snapshot: s, Rate: m.sent.value(), Left: m.left(&s, now)}
}

// left estimates when the last target will have been asked, at the rate of now, and adds its timeout: one that is silent is enough.
func (m *Meter) left(s *Snapshot, now time.Time) time.Duration {
	if s.Total == 0 {
		return -1
	}
	seconds := 0.0
	if waiting := float64(s.Total) - s.asked(); waiting > 0 {
		rate := m.asked.value()
		if seconds = waiting / rate; rate <= 0 || seconds > maxLeft {
			return -1
		}
	}
	left := time.Duration(seconds * 1e9)
	if s.InFlight > 0 {
		left += max(0, s.Timeout-now.Sub(m.grown))
	}
	return left
}

// maxLeft is a time in seconds beyond which a guess is worth nothing, and a Duration may not hold it.
const maxLeft = math.MaxInt64 / 2e9

// average is a mean in which the past fades: what is a memory old counts 1/e of what is new. The weight corrects for the
// beginning, when there is no past.
type average struct{ sum, weight float64 }

func (a *average) add(x float64, elapsed, memory time.Duration) {
	keep := math.Exp(-float64(elapsed) / float64(memory))
	a.sum = a.sum*keep + x*(1-keep)
	a.weight = a.weight*keep + (1 - keep)
}

func (a *average) value() float64 {
	if a.weight == 0 {
		return 0
	}
	return a.sum / a.weight
}
