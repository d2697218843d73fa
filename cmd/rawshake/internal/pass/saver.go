//go:build linux && !android

package pass

import (
	"runtime"
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
	file    *checkpoint.File
	fixed   checkpoint.Checkpoint // what is the same in all of them
	moments chan moment
	ended   chan struct{}
	err     error // of writing the last checkpoint
}

// moment is how far the scan was when a mark was set in the outputs.
type moment struct {
	state scan.State
	mark  *output.Mark
	at    time.Time
}

func newSaver(r *run, file *checkpoint.File) *saver {
	return &saver{
		run: r, file: file, moments: make(chan moment, 1), ended: make(chan struct{}),
		fixed: checkpoint.Checkpoint{
			Tool: "rawshake " + r.Version, Started: r.started, Options: r.Flags, Args: r.Targets.Args,
			Dir: workingDirectory(file.Dir()), Pins: r.set.Pinned(), Hash: r.plan.hash,
		},
	}
}

// begin writes the checkpoint of the beginning, so that a place that cannot be written to is noticed in time, and starts to wait
// for moments.
func (s *saver) begin() error {
	first := moment{mark: s.run.outputs.Mark(), at: time.Now()}
	if state := stateOf(s.run.Resume); state != nil {
		first.state = *state
	}
	if err := s.save(first); err != nil {
		return err
	}
	if s.err != nil {
		return elsewhere(s.err)
	}
	go s.loop()
	return nil
}

// take takes the moment in which it is called.
func (s *saver) take(state scan.State) {
	s.moments <- moment{state, s.run.outputs.Mark(), time.Now()}
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
			start := time.Now()
			s.step(m)
			timer.Reset(max(s.run.SaveEvery, saveShare*time.Since(start)))
			runtime.GC() // 8 MB of a million pending targets; there is too little other garbage to have them collected before the next
		}
	}
}

// step saves a moment. That the checkpoint cannot be written does not end the scan: it is told once, and may pass.
func (s *saver) step(m moment) {
	before := s.err
	if err := s.save(m); err != nil {
		s.run.fail(err)
	} else if s.err != nil && before == nil {
		s.run.say("%v; the one before stays, and the next is tried", s.err)
	}
}

// save makes a moment durable: first the outputs and the packets, then the checkpoint that says so. The error is that of the former, and
// leaves the checkpoint before in force.
func (s *saver) save(m moment) error {
	lengths, err := m.mark.Wait()
	if err == nil && s.run.packets != nil {
		err = s.run.packets.sync()
	}
	if err != nil {
		return err
	}
	c := s.fixed
	c.Time, c.Outputs = m.at, lengths
	c.Run = s.run.record(m.state.Totals)
	c.More = s.run.more(m.state.Totals)
	c.Ways = m.state.Ways
	for _, l := range m.state.Lanes {
		c.Lanes = append(c.Lanes, checkpoint.Lane{Position: l.Position, Pending: l.Pending})
	}
	s.err = s.file.Save(&c)
	return nil
}
