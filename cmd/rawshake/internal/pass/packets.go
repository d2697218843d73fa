//go:build linux && !android

package pass

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/packetlog"
)

// packets keeps what was sent and received in a pcapng file.
type packets struct {
	file   *os.File
	log    *packetlog.Log
	behind atomic.Int64 // bytes since the last time when all were written
}

// mostBehind bounds the bytes that wait for the disk. Beyond it, who moves packets waits, and what our ring loses meanwhile is asked
// again.
const mostBehind = 16 << 20

// openPackets begins a file. A scan that goes on adds a section to the one there is (pcapng: a file is one or more of them).
func openPackets(path string, goOn bool) (*packets, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("--pcap: %w", err)
	}
	p := &packets{file: f}
	if err = p.cut(goOn); err == nil {
		p.log, err = packetlog.New(nil, f)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--pcap %s: %w", path, err), f.Close())
	}
	return p, nil
}

// cut empties the file, or leaves its whole blocks: what a kill has torn goes away.
func (p *packets) cut(goOn bool) error {
	info, err := p.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	var length int64
	if goOn {
		if length, err = wholeBlocks(p.file); err != nil {
			return err
		}
	}
	if err := p.file.Truncate(length); err != nil {
		return err
	}
	_, err = p.file.Seek(length, io.SeekStart)
	return err
}

// wholeBlocks returns how many bytes at the beginning of a pcapng file are whole blocks. A block has its type and its length in
// front, and the latter again behind (draft-ietf-opsawg-pcapng, 3.1).
func wholeBlocks(file io.Reader) (n int64, err error) {
	r := bufio.NewReaderSize(file, 1<<20)
	for {
		head, err := r.Peek(8)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		length := binary.LittleEndian.Uint32(head[4:])
		if length < 12 || length%4 != 0 {
			return n, nil
		}
		switch _, err := r.Discard(int(length)); err {
		case nil:
			n += int64(length)
		case io.EOF:
			return n, nil
		default:
			return n, err
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

// close writes what is left, and returns the first error of all the writing.
func (p *packets) close() error {
	if err := errors.Join(p.log.Close(), p.file.Close()); err != nil {
		return fmt.Errorf("--pcap: %w", err)
	}
	return nil
}
