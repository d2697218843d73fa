//go:build linux && !android

package pass

import (
	"fmt"
	"time"

	"github.com/rawshake/rawshake/scan"
	"github.com/rawshake/rawshake/scan/checkpoint"
	"github.com/rawshake/rawshake/scan/output"
)

// saveShare is the part of the time that saving may take: it is done less often when it takes more.
const saveShare = 20

// saver writes checkpoints. It asks for a moment every few seconds, and makes it durable while the scan goes on.
type saver struct {
	run     *run
	path    string
	fixed   checkpoint.Checkpoint // what is the same in all of them
	moments chan moment
	ended   chan struct{}
	err     error // of the last checkpoint
}

// moment is how far the scan was when a mark was set in the outputs.
type moment struct {
	state scan.State
	mark  *output.Mark
	at    time.Time
	sent  time.Duration
}

func newSaver(r *run) *saver {
	return &saver{
		run: r, path: r.Checkpoint, moments: make(chan moment, 1), ended: make(chan struct{}),
		fixed: checkpoint.Checkpoint{
			Tool: "rawshake " + r.Version, Started: r.started, Options: r.Flags, Args: r.Targets.Args,
			Pins: r.set.Pinned(), Hash: r.plan.hash,
		},
	}
}

// begin writes the checkpoint of the beginning, so that a place that cannot be written to is noticed in time, and starts to wait
// for moments.
func (s *saver) begin() error {
	first := moment{mark: s.run.outputs.Mark(), at: time.Now(), sent: s.run.clock.before}
	if state := stateOf(s.run.Resume); state != nil {
		first.state = *state
	}
	if s.save(first); s.err != nil {
		return fmt.Errorf("%w: choose another place with --checkpoint FILE, or go without by --checkpoint off", s.err)
	}
	go s.loop()
	return nil
}

// take takes the moment in which it is called.
func (s *saver) take(state scan.State) {
	s.moments <- moment{state, s.run.outputs.Mark(), time.Now(), s.run.clock.total()}
}

// end writes what is left, and returns the error of the last checkpoint.
func (s *saver) end() error {
	close(s.moments)
	<-s.ended
	return s.err
}

func (s *saver) loop() {
	defer close(s.ended)
	timer := time.NewTimer(s.run.SaveEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			s.run.scan.WantCheckpoint()
		case m, more := <-s.moments:
			if !more {
				return
			}
			start, before := time.Now(), s.err
			if s.save(m); s.err != nil && before == nil {
				fmt.Fprintf(s.run.reporter, "%v; the one before stays, and the next is tried\n", s.err)
			}
			timer.Reset(max(s.run.SaveEvery, saveShare*time.Since(start)))
		}
	}
}

// save makes a moment durable.
func (s *saver) save(m moment) {
	c := s.fixed
	c.Time = m.at
	c.Run = s.run.record(m.state.Totals, m.sent)
	c.More = more(m.state.Totals)
	for _, l := range m.state.Lanes {
		c.Lanes = append(c.Lanes, checkpoint.Lane{Position: l.Position, Pending: l.Pending})
	}
	if c.Outputs, s.err = m.mark.Wait(); s.err == nil {
		s.err = checkpoint.Save(s.path, &c)
	}
}
