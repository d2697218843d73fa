package output

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/rawshake/rawshake/scan/record"
)

// Meta is what the head of an output says about the run.
type Meta struct {
	Version  string    // of rawshake: "0.1.0"
	Args     string    // the command line
	Start    time.Time // of the run, the first one when it was resumed
	Method   string    // "raw" or "connect"
	Services string    // the ports that are asked everywhere, "80,443,8000-8100"; if empty, unsaid
	Ports    int       // how many ports that are
	Color    bool      // colour text on standard output

	// Stdout takes what goes to "-", whole lines in each call. If nil, os.Stdout. A command that draws a bar on the
	// same terminal gives a writer that takes the bar away first.
	Stdout io.Writer
}

// Length is how much of an output was durable at a [Mark].
type Length struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"` // -1: a pipe or device, which cannot be cut
}

// flushInterval is how long a record may wait in a buffer; with the writer's own time it stays below a second.
const flushInterval = 500 * time.Millisecond

// Set is several outputs. All methods are safe for concurrent use. Close it or Finish it once.
type Set struct {
	mu        sync.Mutex // held while records are encoded, so that a Mark cuts all outputs at the same record
	streams   []*stream
	closed    bool
	stop      chan struct{}
	specs     []Spec
	ungrouped []string // of Finish
}

// Open starts new outputs and overwrites files of the same names; it touches none before all could be opened. The error
// is an *[Error].
func Open(specs []Spec, meta Meta) (*Set, error) {
	return open(specs, meta, make([]Length, len(specs)), true)
}

// Resume goes on with the outputs of an earlier run: each is cut to the length that the run's last checkpoint holds for
// its path. It fails, and neither changes nor makes a file, when one is not there, is shorter than that, or does not end a
// line there.
//
// A pipe is taken for a new one and gets a head, as CSV and XML have it. Standard output that is a file with something in
// it, as a shell's >> makes it, goes on without.
func Resume(specs []Spec, meta Meta, lengths []Length) (*Set, error) {
	ordered := make([]Length, len(specs))
	for i, spec := range specs {
		length, ok := lengthOf(spec.Path, lengths)
		if !ok {
			return nil, outputError(spec.Path, -1, errors.New("the checkpoint does not know it"))
		}
		ordered[i] = length
	}
	return open(specs, meta, ordered, false)
}

func lengthOf(path string, lengths []Length) (Length, bool) {
	for _, l := range lengths {
		if l.Path == path {
			return l, true
		}
	}
	return Length{}, false
}

// open starts outputs anew, or goes on with those that were there before.
func open(specs []Spec, meta Meta, lengths []Length, anew bool) (*Set, error) {
	files, err := openFiles(specs, meta, lengths, anew)
	if err != nil {
		for _, f := range files {
			f.dev.Close()
		}
		return nil, err
	}
	s := &Set{stop: make(chan struct{}), specs: specs}
	for i, f := range files {
		stream := newStream(f, newEncoder(specs[i], meta))
		if n := lengths[i].Bytes; n == 0 || n < 0 && !f.begun {
			stream.buf = stream.enc.header(stream.buf)
		}
		s.streams = append(s.streams, stream)
	}
	go s.flushLoop()
	return s, nil
}

// openFiles opens and checks all files before it cuts the first. It returns those that are open also with an error.
func openFiles(specs []Spec, meta Meta, lengths []Length, anew bool) (files []*file, err error) {
	for i, spec := range specs {
		f, err := openFile(spec, meta.Stdout, anew)
		if err != nil {
			return files, err
		}
		files = append(files, f)
		if !anew {
			if err := f.check(lengths[i].Bytes); err != nil {
				return files, err
			}
		}
		if err := distinct(files); err != nil {
			return files, err
		}
	}
	for i, f := range files {
		if err := f.cut(max(lengths[i].Bytes, 0)); err != nil {
			return files, err
		}
	}
	return files, nil
}

// distinct fails when the last file is one of the others under another name: they would overwrite each other.
func distinct(files []*file) error {
	last := files[len(files)-1]
	for _, f := range files[:len(files)-1] {
		if f.regular && last.regular && sameFile(f.path, last.path) {
			return outputError(last.path, -1, errors.New("it is the same file as the output "+f.path))
		}
	}
	return nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// Write adds records to every output, in order. It keeps nothing of them. It returns the failure of any output, now or
// earlier: the others still take the records, but the run should end. It blocks when an output is several megabytes
// behind.
func (s *Set) Write(records []record.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	for _, stream := range s.streams {
		stream.write(records)
	}
	return s.err()
}

// err returns the failure of the first output that has one.
func (s *Set) err() error {
	for _, stream := range s.streams {
		if err := stream.err(); err != nil {
			return err
		}
	}
	return nil
}

// Mark is a point in the stream of records, the same for every output.
type Mark struct {
	set     *Set
	answers []chan Length
}

// Mark sets a mark behind all records written so far and returns at once (unless the queues are full). A caller that
// must know exactly which records lie before it, as a checkpoint does, keeps writers out meanwhile; it need not do so
// during Wait.
func (s *Set) Mark() *Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &Mark{set: s}
	if !s.closed {
		m.send()
	}
	return m
}

// send gives each stream an answer to return when all before it is durable. The set's lock is held.
func (m *Mark) send() {
	for _, stream := range m.set.streams {
		answer := make(chan Length, 1)
		m.answers = append(m.answers, answer)
		stream.send(job{mark: answer})
	}
}

// Wait returns when everything before the mark is durable, with the lengths of the outputs there, in the order of the
// specs. With an error the lengths must not be used: the checkpoint before stays the valid one. Call it once.
func (m *Mark) Wait() ([]Length, error) {
	lengths := make([]Length, len(m.answers))
	for i, answer := range m.answers {
		lengths[i] = <-answer
	}
	if len(m.answers) < len(m.set.streams) {
		return nil, os.ErrClosed
	}
	return lengths, m.set.err()
}

// flushLoop sees to it that no record waits long in a buffer.
func (s *Set) flushLoop() {
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.flush()
		case <-s.stop:
			return
		}
	}
}

func (s *Set) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, stream := range s.streams {
		stream.flush()
	}
}

// Finish ends every output with the outcome of the run, makes it durable and closes it. A complete XML or grepable output to a file
// is grouped by host then, unless that is compressed or very large: see Ungrouped. To be able to resume an incomplete run,
// keep the lengths of a Mark set before: what Finish adds lies behind them and is cut by the resume.
func (s *Set) Finish(run *record.Run) error {
	err := s.end(func(stream *stream) { stream.buf = stream.enc.footer(stream.buf, run) })
	for i, spec := range s.specs {
		layout := layouts[spec.Format]
		if layout == nil {
			continue
		}
		grouped := false
		if err == nil && run.Complete && !spec.Compress && s.streams[i].file.regular {
			if grouped, err = groupHosts(spec.Path, layout, maxGrouped); err != nil {
				err = &Error{spec.Path, -1, fmt.Errorf("its hosts could not be grouped, it is whole otherwise: %w", err)}
			}
		}
		if !grouped && spec.Format == XML {
			s.ungrouped = append(s.ungrouped, spec.Path)
		}
	}
	return err
}

// Ungrouped returns the paths of the XML outputs in which, after Finish, each port has a host element of its own. Several
// readers take the last element of a host for all of it. Those of the grepable format do not.
func (s *Set) Ungrouped() []string { return s.ungrouped }

// Close ends the outputs as they are, without the run's outcome. After Finish it does nothing.
func (s *Set) Close() error {
	err := s.end(func(*stream) {})
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// end closes each stream after last has added to its buffer, and returns the first failure.
func (s *Set) end(last func(*stream)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	s.closed = true
	close(s.stop)
	m := &Mark{set: s}
	for _, stream := range s.streams {
		last(stream)
	}
	m.send()
	_, err := m.Wait()
	for _, stream := range s.streams {
		close(stream.jobs)
		<-stream.done
		if closeErr := stream.file.dev.Close(); err == nil && closeErr != nil {
			err = outputError(stream.file.path, stream.file.whole(), closeErr)
		}
	}
	return err
}
