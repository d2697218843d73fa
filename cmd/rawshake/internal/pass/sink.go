//go:build linux && !android

package pass

import (
	"slices"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/scan"
	"github.com/rawshake/rawshake/scan/filter"
	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/record"
)

// sink takes what a scan finds out: verdicts become records, those that pass the filter go to the outputs, and checkpoints go to
// the saver.
type sink struct {
	records scan.Recorder
	filter  filter.Filter
	outputs *output.Set
	save    func(scan.State)
	batch   [sinkBatch]record.Record
}

// sinkBatch is how many records are made at a time: few enough to stay in the cache until they are encoded.
const sinkBatch = 64

func newSink(r *run) *sink {
	s := &sink{records: scan.Recorder{Space: r.set.Space}, filter: r.Filter, outputs: r.outputs, save: func(scan.State) {}}
	if r.saver != nil {
		s.save = r.saver.take
	}
	return s
}

// Results implements [scan.Handler].
func (s *sink) Results(verdicts []engine.Verdict) error {
	for some := range slices.Chunk(verdicts, sinkBatch) {
		n := 0
		for i := range some {
			s.records.Fill(&s.batch[n], &some[i])
			if s.filter.Match(&s.batch[n]) {
				n++
			}
		}
		if err := s.outputs.Write(s.batch[:n]); err != nil {
			return err
		}
	}
	return nil
}

// Checkpoint implements [scan.Handler].
func (s *sink) Checkpoint(state scan.State) error {
	s.save(state)
	return nil
}
