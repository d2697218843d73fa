//go:build linux && !android

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
)

// Net is the network as the body sees it. It is safe for concurrent use.
type Net struct {
	client *client
	hosts  []*Host
}

// Host returns the host of that name; a name that is not in the topology is a panic.
func (n *Net) Host(name string) *Host {
	for _, h := range n.hosts {
		if h.Name == name {
			return h
		}
	}
	panic(fmt.Sprintf("lab: no host %q in the topology", name))
}

// Prober returns the host in which the body runs.
func (n *Net) Prober() *Host { return n.Host(proberName) }

// Host is one host of the network. It is safe for concurrent use.
type Host struct {
	Name       string
	V4, V6     netip.Addr  // of eth0
	Interfaces []Interface // eth0, eth1 … in the order of the topology's links
	net        *Net
}

// Interface is a host's end of a link.
type Interface struct {
	Name         string
	Index        int
	V4, V6       netip.Addr
	LinkLocal    netip.Addr       // without a zone
	MAC          net.HardwareAddr // 02:77:00:00:link:side
	NeighbourMAC net.HardwareAddr // of the other end of the link
}

// Addr returns the host's IPv4 or IPv6 address on eth0.
func (h *Host) Addr(v6 bool) netip.Addr {
	if v6 {
		return h.V6
	}
	return h.V4
}

// Interface returns the interface of that name, or the one with index 1 for "lo"; another name is a panic.
func (h *Host) Interface(name string) Interface {
	if name == "lo" {
		return Interface{Name: "lo", Index: 1}
	}
	for _, i := range h.Interfaces {
		if i.Name == name {
			return i
		}
	}
	panic(fmt.Sprintf("lab: host %s has no interface %q", h.Name, name))
}

// do performs an operation on the host and ends the test if it fails. What it did is undone when t ends, or earlier by
// the function that it returns.
func (h *Host) do(t testing.TB, op string, args, value any) (undo func()) {
	t.Helper()
	c, err := h.call(op, args, value)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range c.files {
		f.Close()
	}
	return c.undoAtEnd(t)
}

// made is the answer to an operation that made something in the first process.
type made struct {
	client *client
	handle int
	files  []*os.File
}

func (h *Host) call(op string, args, value any, files ...*os.File) (*made, error) {
	handle, got, err := h.net.client.call(op, h.Name, args, value, files...)
	return &made{h.net.client, handle, got}, err
}

func (m *made) undoAtEnd(t testing.TB) (undo func()) {
	undo = sync.OnceFunc(func() {
		if _, _, err := m.client.call("undo", "", m.handle, nil); err != nil {
			t.Error(err)
		}
	})
	if m.handle == 0 {
		return func() {}
	}
	t.Cleanup(undo)
	return undo
}

// read fetches the present value of what was made.
func (m *made) read(value any) error {
	_, _, err := m.client.call("read", "", m.handle, value)
	return err
}
