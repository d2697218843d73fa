//go:build linux && !android

package pass

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/packetlog"
	"github.com/rawshake/rawshake/scan/output"
)

// packets keeps what was sent and received in a pcapng file.
type packets struct {
	file    *os.File
	path    string
	regular bool // can be cut and made durable
	log     *packetlog.Log
	fail    func(error)           // ends the scan
	failed  atomic.Pointer[error] // of the first write that failed
	behind  atomic.Int64          // bytes since the last time when all were written
}

// mostBehind bounds the bytes that wait for the disk. Beyond it, who moves packets waits, and what our ring loses meanwhile is asked
// again.
const mostBehind = 16 << 20

// openPackets begins a file. A scan that goes on adds packets to the one there is, which must be there, as its outputs must. A packet that cannot be written ends the scan, as
// a record does: fail is told the error.
func openPackets(path string, goOn bool, fail func(error)) (*packets, error) {
	flags := os.O_WRONLY // who also reads from a pipe never learns that its reader has gone
	if !goOn {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o644)
	p := &packets{file: f, path: path, fail: fail}
	switch {
	case goOn && errors.Is(err, fs.ErrNotExist):
		return nil, p.problem(errors.New("it is not there, and the scan that goes on has packets in it: put it back, or an empty file in its place"))
	case err != nil:
		return nil, p.problem(err)
	}
	begun := false
	if begun, err = p.cut(goOn); err == nil {
		p.log, err = p.newLog(begun)
	}
	if err != nil {
		f.Close()
		return nil, p.problem(err)
	}
	return p, nil
}

func (p *packets) newLog(begun bool) (*packetlog.Log, error) {
	if begun {
		return packetlog.GoOn(p)
	}
	return packetlog.New(nil, p)
}

// problem says which file fails, and how to mend it.
func (p *packets) problem(err error) error {
	var known *output.Error
	if errors.As(err, &known) {
		return err
	}
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return fmt.Errorf("--pcap: %w", &output.Error{Path: p.path, Whole: -1, Err: err})
}

// Write writes to the file for the log, which keeps to itself what goes wrong until the end.
func (p *packets) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	if err != nil {
		err = p.problem(err)
		p.failed.CompareAndSwap(nil, &err)
		p.fail(err)
	}
	return n, err
}

// headBlocks are those of a pcapng file before the first packet: its section, and its interface.
const headBlocks = 2

// cut empties the file, or leaves its whole blocks: what a kill has torn goes away. It reports whether a head is left.
func (p *packets) cut(goOn bool) (begun bool, err error) {
	info, err := p.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	p.regular = true
	var length int64
	if goOn {
		blocks := 0
		if length, blocks, err = wholeBlocks(p.path); err != nil {
			return false, err
		}
		if begun = blocks >= headBlocks; !begun {
			length = 0
		}
	}
	if err := p.file.Truncate(length); err != nil {
		return false, err
	}
	_, err = p.file.Seek(length, io.SeekStart)
	return begun, err
}

// wholeBlocks returns how many bytes at the beginning of a pcapng file are whole blocks, and how many blocks. A block has its type and
// its length in front, and the latter again behind (draft-ietf-opsawg-pcapng, 3.1).
func wholeBlocks(path string) (n int64, blocks int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 1<<20)
	for {
		head, err := r.Peek(8)
		if err == io.EOF {
			return n, blocks, nil
		}
		if err != nil {
			return n, blocks, err
		}
		length := binary.LittleEndian.Uint32(head[4:])
		if length < 12 || length%4 != 0 {
			return n, blocks, nil
		}
		switch _, err := r.Discard(int(length)); err {
		case nil:
			n, blocks = n+int64(length), blocks+1
		case io.EOF:
			return n, blocks, nil
		default:
			return n, blocks, err
		}
	}
}

// add keeps a packet. It is called by each lane for its own.
func (p *packets) add(t rawshake.TracePacket) {
	p.log.Add(t.Time, t.Out, t.Data)
	if p.behind.Add(int64(len(t.Data))) > mostBehind {
		p.behind.Store(0)
		p.log.Flush()
	}
}

// sync returns when all packets so far are on the disk.
func (p *packets) sync() error {
	p.log.Flush()
	if err := p.failed.Load(); err != nil {
		return *err
	}
	if !p.regular {
		return nil
	}
	if err := p.file.Sync(); err != nil {
		return p.problem(err)
	}
	return nil
}

// close writes what is left, and returns the first error of all the writing.
func (p *packets) close() error {
	if err := errors.Join(p.log.Close(), p.file.Close()); err != nil {
		return p.problem(err)
	}
	return nil
}
