package output

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/rawshake/rawshake/scan/internal/durable"
)

// device is what an output is written to: an *os.File, or a fault in a test.
type device interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// stdout is a device that is not ours to close, to cut or to make durable.
type stdout struct{ io.Writer }

func (stdout) Sync() error          { return nil }
func (stdout) Truncate(int64) error { return nil }
func (stdout) Close() error         { return nil }

// file is one open output. Only its stream's writer uses it.
type file struct {
	dev     device
	path    string
	format  Format
	regular bool          // can be cut and made durable
	begun   bool          // standard output that is a file with something in it: a shell's >>
	length  int64         // bytes of whole records, as far as we know: line-aligned, or frame-aligned when compressed
	zstd    *zstd.Encoder // nil: plain
	inFrame bool
	raw     int64 // bytes that went to dev since open, compressed ones
}

// openFile opens the path of spec without touching what is in it; anew also makes it. Standard output is w, os.Stdout if
// that is nil.
func openFile(spec Spec, w io.Writer, anew bool) (*file, error) {
	if w == nil {
		w = os.Stdout
	}
	f := &file{path: spec.Path, format: spec.Format, dev: stdout{w}}
	if spec.Path == Stdout {
		f.begun = hasContent(w)
	} else {
		flags := os.O_WRONLY
		if anew {
			flags |= os.O_CREATE
		}
		dev, err := os.OpenFile(spec.Path, flags, 0o644)
		if err != nil {
			return nil, openError(spec.Path, err, anew)
		}
		info, err := dev.Stat()
		if err != nil {
			dev.Close()
			return nil, outputError(spec.Path, -1, err)
		}
		f.dev, f.regular = dev, info.Mode().IsRegular()
	}
	if spec.Compress {
		// One frame after the other by this goroutine alone: the scan wants the cores.
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			return nil, outputError(spec.Path, -1, err)
		}
		f.zstd = z
	}
	return f, nil
}

// hasContent reports whether w is a file with something in it.
func hasContent(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}

// openError words why an output cannot be opened.
func openError(path string, err error, anew bool) error {
	if !anew && errors.Is(err, fs.ErrNotExist) {
		err = errors.New("it is not there, and the scan that goes on has records in it: put it back, or start anew without --resume")
	}
	return outputError(path, -1, err)
}

// cut leaves the first length bytes and goes on behind them.
func (f *file) cut(length int64) error {
	if !f.regular {
		return nil
	}
	dev := f.dev.(*os.File)
	if err := dev.Truncate(length); err != nil {
		return outputError(f.path, -1, err)
	}
	if _, err := dev.Seek(length, io.SeekStart); err != nil {
		return outputError(f.path, -1, err)
	}
	if err := durable.SyncName(f.path); err != nil {
		return outputError(f.path, -1, err)
	}
	f.length = length
	return nil
}

// check looks whether the file can be what a checkpoint knew with that length.
func (f *file) check(length int64) error {
	if !f.regular {
		return nil
	}
	in, err := os.Open(f.path)
	if err != nil {
		return outputError(f.path, -1, err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return outputError(f.path, -1, err)
	}
	if length < 0 && info.Size() > 0 {
		return outputError(f.path, -1, errors.New("it is a file with something in it, and was a pipe or device when the scan "+
			"began: empty it, or start anew without --resume"))
	}
	if info.Size() < length {
		return outputError(f.path, -1, fmt.Errorf("it has %d bytes and the checkpoint knows %d: it was changed after the scan; "+
			"put it back, or start anew without --resume", info.Size(), length))
	}
	if isGrouped(in, f.format) {
		return outputError(f.path, -1, errors.New("its run was complete, the hosts are grouped: nothing is left to resume"))
	}
	last := []byte{'\n'}
	if f.zstd == nil && length > 0 {
		if _, err := in.ReadAt(last, length-1); err != nil {
			return outputError(f.path, -1, err)
		}
	}
	if last[0] != '\n' {
		return outputError(f.path, -1, fmt.Errorf("no line ends at byte %d, where the checkpoint has one: it was changed after "+
			"the scan; put it back, or start anew without --resume", length))
	}
	return nil
}

// write takes whole lines.
func (f *file) write(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if f.zstd == nil {
		n, err := f.dev.Write(lines)
		if err != nil {
			f.mend(n)
			return err
		}
		f.length += int64(n)
		return nil
	}
	if !f.inFrame {
		f.zstd.Reset((*counter)(f))
		f.inFrame = true
	}
	_, err := f.zstd.Write(lines)
	return err
}

// mend takes a torn line off the end after a write that failed after n bytes. That it may fail as well does no harm: a
// resume cuts the file anyway.
func (f *file) mend(n int) {
	if f.regular && n > 0 {
		f.dev.Truncate(f.length)
	}
}

// counter counts the compressed bytes on their way.
type counter file

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.dev.Write(p)
	c.raw += int64(n)
	return n, err
}

// flush lets a reader of the file see what was written. A plain file needs none.
func (f *file) flush() error {
	if !f.inFrame {
		return nil
	}
	return f.zstd.Flush()
}

// sync ends the frame and makes everything durable.
func (f *file) sync() error {
	if f.inFrame {
		if err := f.zstd.Close(); err != nil {
			return err
		}
		f.inFrame = false
		f.length += f.raw
		f.raw = 0
	}
	if !f.regular {
		return nil
	}
	return f.dev.Sync()
}

// whole returns the length for a checkpoint or a message: -1 for what cannot be cut.
func (f *file) whole() int64 {
	if !f.regular {
		return -1
	}
	return f.length
}
