// Package packetlog writes packets down, as readable lines and as a pcapng file, without making the one who moves them wait.
package packetlog

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rawshake/rawshake/craft"
)

// Log takes packets and writes them on a goroutine of its own. Its queue has no bound, because a full one would have to lose
// packets or hold the engine up: what is in flight bounds it. A Log is safe for concurrent use.
type Log struct {
	lines   io.Writer // nil: none
	capture *pcapng   // nil: none

	mu      sync.Mutex
	changed sync.Cond
	queue   queue
	added   uint64
	written uint64
	closed  bool
	err     error // the first of writing

	first time.Time // of the first packet; lines count from it
	done  chan struct{}
}

// queue is packets in one arena.
type queue struct {
	packets []packet
	bytes   []byte
}

type packet struct {
	at  time.Time
	out bool
	end int // where its bytes end in the arena
}

// New returns a Log that writes lines to one writer and a pcapng file to the other. Either may be nil.
func New(lines, capture io.Writer) (*Log, error) {
	if capture == nil {
		return begin(lines, nil), nil
	}
	p, err := newPcapng(capture)
	if err != nil {
		return nil, err
	}
	return begin(lines, p), nil
}

// GoOn returns a Log that adds to a pcapng file which New began.
func GoOn(capture io.Writer) (*Log, error) {
	p, err := goOnPcapng(capture)
	if err != nil {
		return nil, err
	}
	return begin(nil, p), nil
}

func begin(lines io.Writer, capture *pcapng) *Log {
	l := &Log{lines: lines, capture: capture, done: make(chan struct{})}
	l.changed.L = &l.mu
	go l.run()
	return l
}

// Add takes a copy of an IP packet: at is when it was sent (out) or received.
func (l *Log) Add(at time.Time, out bool, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue.bytes = append(l.queue.bytes, data...)
	l.queue.packets = append(l.queue.packets, packet{at, out, len(l.queue.bytes)})
	l.added++
	l.changed.Broadcast()
}

// Flush waits until everything that was added so far is written.
func (l *Log) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for target := l.added; l.written < target; {
		l.changed.Wait()
	}
}

// Close writes what is left, and returns the first error of all the writing. Nothing may be added later.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.changed.Broadcast()
	l.mu.Unlock()
	<-l.done
	return l.err
}

// run writes until Close, batch by batch.
func (l *Log) run() {
	defer close(l.done)
	var q queue
	for {
		var more bool
		if q, more = l.next(q); !more {
			return
		}
		err := l.write(q)
		l.mu.Lock()
		l.written += uint64(len(q.packets))
		if l.err == nil {
			l.err = err
		}
		l.changed.Broadcast()
		l.mu.Unlock()
	}
}

// next waits for packets and takes them all; the arena of old is used again.
func (l *Log) next(old queue) (q queue, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue.packets) == 0 && !l.closed {
		l.changed.Wait()
	}
	q = l.queue
	l.queue = queue{old.packets[:0], old.bytes[:0]}
	return q, len(q.packets) > 0
}

func (l *Log) write(q queue) error {
	start := 0
	var failed error
	for _, p := range q.packets {
		if err := l.writeOne(p, q.bytes[start:p.end]); failed == nil {
			failed = err
		}
		start = p.end
	}
	if l.capture != nil && failed == nil {
		failed = l.capture.flush() // so that the file can be read while it grows
	}
	return failed
}

func (l *Log) writeOne(p packet, data []byte) error {
	if l.first.IsZero() {
		l.first = p.at
	}
	if l.lines != nil {
		if _, err := io.WriteString(l.lines, Line(p.at.Sub(l.first), p.out, data)+"\n"); err != nil {
			return err
		}
	}
	if l.capture == nil {
		return nil
	}
	return l.capture.write(p.at, data)
}

// Line is one packet as a readable line, without a line feed: the time since the first packet, the direction, and what
// [craft.Describe] says.
//
//	0.412 ms  in   192.0.2.1:443 > 10.0.0.1:40000 SYN-ACK seq 1 ack 2 win 64240 ttl 64 <mss 1460>
func Line(since time.Duration, out bool, data []byte) string {
	direction := "in "
	if out {
		direction = "out"
	}
	return fmt.Sprintf("%12.3f ms  %s  %s", float64(since)/1e6, direction, craft.Describe(data))
}
