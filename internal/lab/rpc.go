//go:build linux && !android

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// The two processes speak over a SOCK_SEQPACKET pair: a JSON message is a packet, and files travel beside it.

type request struct {
	Op   string
	Host string          `json:",omitempty"`
	Args json.RawMessage `json:",omitempty"`
}

type reply struct {
	Err    string          `json:",omitempty"`
	Value  json.RawMessage `json:",omitempty"`
	Handle int             `json:",omitempty"` // of what was made, for "undo" and "read"
}

const maxMessage = 128 << 10

// newPair returns this process's end and a file with the other, to be inherited.
func newPair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs := os.NewFile(uintptr(fds[1]), "lab")
	ours, err := connOf(os.NewFile(uintptr(fds[0]), "lab"))
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

// connOf takes the socket out of f and closes f.
func connOf(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("lab: a %T, not a unix socket", conn), conn.Close())
	}
	return unixConn, nil
}

func writeMessage(conn *net.UnixConn, message any, files []*os.File) error {
	b, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(b) > maxMessage {
		return fmt.Errorf("lab: a message of %d bytes, at most %d fit", len(b), maxMessage)
	}
	var rights []byte
	if len(files) > 0 {
		var fds []int
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
		rights = unix.UnixRights(fds...)
	}
	_, _, err = conn.WriteMsgUnix(b, rights, nil)
	return err
}

func readMessage(conn *net.UnixConn, message any) ([]*os.File, error) {
	b, oob := make([]byte, maxMessage), make([]byte, 256)
	n, oobn, _, _, err := conn.ReadMsgUnix(b, oob)
	if err != nil {
		return nil, err
	}
	files, err := readRights(oob[:oobn])
	if err != nil {
		return nil, err
	}
	return files, json.Unmarshal(b[:n], message)
}

func readRights(oob []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "lab"))
		}
	}
	return files, nil
}

// client is the end that asks. It is safe for concurrent use: one question at a time.
type client struct {
	mu   sync.Mutex
	conn *net.UnixConn
}

// call asks for an operation on a host. Files in the answer belong to the caller.
func (c *client) call(op, host string, args, value any, files ...*os.File) (handle int, got []*os.File, err error) {
	body, err := json.Marshal(args)
	if err != nil {
		return 0, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := writeMessage(c.conn, request{op, host, body}, files); err != nil {
		return 0, nil, fmt.Errorf("lab: ask for %s: %w", op, err)
	}
	var r reply
	got, err = readMessage(c.conn, &r)
	if err != nil {
		return 0, nil, fmt.Errorf("lab: answer to %s: %w", op, err)
	}
	if r.Err != "" {
		return 0, nil, fmt.Errorf("lab: %s on %q: %s", op, host, r.Err)
	}
	if value != nil {
		err = json.Unmarshal(r.Value, value)
	}
	return r.Handle, got, err
}
