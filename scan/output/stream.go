package output

import (
	"sync/atomic"

	"github.com/rawshake/rawshake/scan/record"
)

const (
	chunkSize  = 256 << 10 // a buffer goes to the writer when it holds so much
	queueDepth = 32        // buffers that may wait for a slow disk: 8 MB
)

// stream is one output: a buffer that the Set fills under its lock, and a goroutine that writes full ones.
type stream struct {
	enc    encoder
	buf    []byte
	dirty  bool // records were added since the last flush
	jobs   chan job
	free   chan []byte   // buffers to use again
	done   chan struct{} // closed when the writer has ended
	failed atomic.Pointer[Error]
	file   *file // the writer's
}

// job is work for the writer, in order: write the lines, then flush or make durable and answer.
type job struct {
	lines []byte
	flush bool
	mark  chan<- Length
}

func newStream(f *file, enc encoder) *stream {
	s := &stream{
		enc: enc, file: f, jobs: make(chan job, queueDepth), free: make(chan []byte, queueDepth), done: make(chan struct{}),
		buf: newBuffer(),
	}
	go s.run()
	return s
}

// newBuffer has room for a chunk and the record that goes over its edge.
func newBuffer() []byte { return make([]byte, 0, chunkSize+4<<10) }

// write encodes records; it blocks only while the queue is full.
func (s *stream) write(records []record.Record) {
	s.dirty = s.dirty || len(records) > 0
	for i := range records {
		s.buf = s.enc.record(s.buf, &records[i])
		if len(s.buf) >= chunkSize {
			s.send(job{})
		}
	}
}

// send hands over what is in the buffer, with j's orders.
func (s *stream) send(j job) {
	j.lines, s.buf = s.buf, nil
	s.jobs <- j
	select {
	case s.buf = <-s.free:
	default:
		s.buf = newBuffer()
	}
}

// flush sends what is in the buffer on its way to the file, and what the compressor holds back.
func (s *stream) flush() {
	if s.dirty {
		s.dirty = false
		s.send(job{flush: true})
	}
}

// run writes until jobs is closed. After a failure it only answers, so that nobody waits for a broken disk.
func (s *stream) run() {
	defer close(s.done)
	for j := range s.jobs {
		if s.failed.Load() == nil {
			if err := s.do(j); err != nil {
				s.failed.Store(outputError(s.file.path, s.file.whole(), err))
			}
		}
		if j.mark != nil {
			j.mark <- Length{Path: s.file.path, Bytes: s.file.whole()}
		}
		select {
		case s.free <- j.lines[:0]:
		default:
		}
	}
}

func (s *stream) do(j job) error {
	if err := s.file.write(j.lines); err != nil {
		return err
	}
	switch {
	case j.mark != nil:
		return s.file.sync()
	case j.flush:
		return s.file.flush()
	}
	return nil
}

// err returns why the stream takes no more, or nil.
func (s *stream) err() error {
	if e := s.failed.Load(); e != nil {
		return e
	}
	return nil
}
