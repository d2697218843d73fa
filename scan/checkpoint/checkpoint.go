package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/record"
	"github.com/rawshake/rawshake/scan/target"
)

// Version is that of the file. It grows whenever an older file would be misread: when a field changes its meaning, or
// when the same seed would give another order of targets.
const Version = 1

// Checkpoint is one moment of a scan.
type Checkpoint struct {
	Tool    string                  `json:"tool"` // who wrote it: "rawshake 0.1.0"
	Time    time.Time               `json:"time"`
	Started time.Time               `json:"started"`           // the first session of the scan
	Options Options                 `json:"options"`           // all that say what is scanned and how
	Args    []string                `json:"args,omitempty"`    // the targets as they were given
	Dir     string                  `json:"dir,omitempty"`     // where relative names of files start, seen from the checkpoint's own directory
	Pins    map[string][]netip.Addr `json:"pins,omitempty"`    // what names resolved to: they stay that for the whole scan
	Hash    string                  `json:"hash"`              // of targets and options
	Lanes   []Lane                  `json:"lanes,omitempty"`   // how far each is
	Run     record.Run              `json:"run"`               // counters, seed and shard
	Ways    target.Numbers          `json:"ways,omitempty"`    // targets, one behind each way that packets left by
	More    map[string]uint64       `json:"more,omitempty"`    // counters that the run record has no key for
	Outputs []output.Length         `json:"outputs,omitempty"` // of an output.Mark at the same moment
}

// Lane is how far one lane of the scan is.
type Lane struct {
	Position uint64         `json:"position"` // in the lane's share of the order: everything before it was taken
	Pending  target.Numbers `json:"pending"`  // taken, and without a verdict
}

// envelope is the file. The sum is over the checkpoint without insignificant space.
type envelope struct {
	Version    int             `json:"version"`
	Sum        string          `json:"sha256"`
	Checkpoint json.RawMessage `json:"checkpoint"`
}

// Error says what is wrong with a checkpoint.
type Error struct {
	Path string
	Err  error
}

// Error names the file and what is wrong with it.
func (e *Error) Error() string { return fmt.Sprintf("checkpoint %s: %v", e.Path, e.Err) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// fail wraps err without the path that package os puts before it.
func fail(path string, err error) error {
	var pathError *fs.PathError
	var linkError *os.LinkError
	switch {
	case errors.As(err, &pathError):
		err = pathError.Err
	case errors.As(err, &linkError):
		err = linkError.Err
	}
	return &Error{path, err}
}

// DefaultPath returns where the checkpoint of a scan with these outputs goes when nobody says: beside the first output
// that is a file (not a pipe, a device or standard output), else in the current directory, where several scans may meet.
func DefaultPath(specs []output.Spec) string {
	for _, s := range specs {
		if s.File() {
			return s.Path + ".checkpoint"
		}
	}
	return "rawshake.checkpoint"
}

// write writes the envelope by hand, because an encoder would copy the pending targets several times.
func write(w io.Writer, c *Checkpoint) error {
	sum := sha256.New()
	fmt.Fprintf(w, `{"version":%d,"checkpoint":`, Version)
	if err := writeInner(io.MultiWriter(w, sum), c); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, `,"sha256":"%x"}`+"\n", sum.Sum(nil))
	return err
}

// writeInner writes the checkpoint, with the lanes last.
func writeInner(w io.Writer, c *Checkpoint) error {
	head := *c
	head.Lanes = nil
	text, err := json.Marshal(&head)
	if err != nil {
		return err
	}
	w.Write(text[:len(text)-1]) // without its closing brace
	io.WriteString(w, `,"lanes":[`)
	for i := range c.Lanes {
		if i > 0 {
			io.WriteString(w, ",")
		}
		fmt.Fprintf(w, `{"position":%d,"pending":"`, c.Lanes[i].Position)
		if err := c.Lanes[i].Pending.WriteText(w); err != nil {
			return err
		}
		io.WriteString(w, `"}`)
	}
	_, err = io.WriteString(w, "]}")
	return err
}

func checksum(inner []byte) string {
	sum := sha256.Sum256(inner)
	return hex.EncodeToString(sum[:])
}

// maxSize bounds what Load reads into memory. A checkpoint with a million pending targets has a few MB.
const maxSize = 1 << 30

// Load reads the checkpoint at path. It refuses one of another version, and one that is torn or was edited. The error is
// an *[Error].
func Load(path string) (*Checkpoint, error) {
	c, err := load(path)
	if err != nil {
		return nil, fail(path, err)
	}
	return c, nil
}

// load is Load with a bare error.
func load(path string) (*Checkpoint, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("it is no file")
	case info.Size() == 0:
		err = errors.New("it is empty: the scan was killed before it began; start it anew")
	case info.Size() > maxSize:
		err = errors.New("it is far too large for a checkpoint: give --resume the checkpoint, not an output")
	}
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decode(content)
}

func decode(content []byte) (*Checkpoint, error) {
	var e envelope
	if err := json.Unmarshal(content, &e); err != nil {
		return nil, fmt.Errorf("it is torn, or no checkpoint: %w", err)
	}
	if e.Version != Version {
		return nil, fmt.Errorf("it has version %d and this program reads version %d: resume with the program that wrote it", e.Version, Version)
	}
	var inner bytes.Buffer
	if err := json.Compact(&inner, e.Checkpoint); err != nil {
		return nil, fmt.Errorf("it has no content: %w", err)
	}
	if checksum(inner.Bytes()) != e.Sum {
		return nil, errors.New("its checksum is wrong: it is torn or was edited")
	}
	c := new(Checkpoint)
	if err := json.Unmarshal(inner.Bytes(), c); err != nil {
		return nil, fmt.Errorf("its content cannot be read: %w", err)
	}
	return c, nil
}

// Check fails when hash, that of the targets and options at hand, is not the one that the scan began with.
func (c *Checkpoint) Check(hash string) error {
	if c.Hash == hash {
		return nil
	}
	return errors.New("the targets or options are not those that the scan began with (a target, exclude or scope file may have " +
		"changed, or what comes by standard input): put them back, or start anew without --resume")
}
