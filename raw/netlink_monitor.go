//go:build linux && !android

package raw

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// monitor listens to the kernel's notices of change.
type monitor struct {
	file *os.File
	done chan struct{}
}

// noticeBuffer is the socket's room for notices that were not read yet.
const noticeBuffer = 1 << 20

// openMonitor calls notice for each message to the groups, and lost when some
// did not fit into the socket's buffer, always from one goroutine of its own,
// which starts right away.
func openMonitor(groups []int, notice func(message), lost func()) (*monitor, error) {
	fd, err := netlinkSocket(unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, noticeBuffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, noticeBuffer)
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("netlink group %d: %w", g, err)
		}
	}
	m := &monitor{file: os.NewFile(uintptr(fd), "netlink notices"), done: make(chan struct{})}
	go m.read(notice, lost)
	return m, nil
}

func (m *monitor) read(notice func(message), lost func()) {
	defer close(m.done)
	buf := make([]byte, netlinkBuffer)
	for {
		n, err := m.file.Read(buf)
		switch {
		case err == nil:
			for msg := range messages(buf[:n]) {
				notice(msg)
			}
		case errors.Is(err, unix.ENOBUFS):
			lost()
		default:
			return // closed
		}
	}
}

// watch reads a table and follows its changes. It listens before it reads, so
// that no change falls in between, and handles no notice before it has read.
func watch(groups []int, read func() error, notice func(message)) (*monitor, error) {
	ready := make(chan struct{})
	defer close(ready)
	m, err := openMonitor(groups,
		func(msg message) { <-ready; notice(msg) },
		func() { <-ready; untilClosed(read) })
	if err != nil {
		return nil, err
	}
	return m, read()
}

// close returns when the last notice has been handled.
func (m *monitor) close() {
	m.file.Close()
	<-m.done
}
