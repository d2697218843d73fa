//go:build linux && !android

package raw

import (
	"errors"
	"net/netip"

	"golang.org/x/net/bpf"
)

var errPending = errors.New("raw: not written yet")

type NeighbourState uint8

const (
	Unknown NeighbourState = iota
	Incomplete
	Reachable
	Failed
)

type Neighbours struct{}

func OpenNeighbours() (*Neighbours, error) { return nil, errPending }
func (n *Neighbours) Lookup(ifindex int, addr netip.Addr) (NeighbourState, [6]byte) {
	return Unknown, [6]byte{}
}
func (n *Neighbours) Resolve(ifindex int, addr netip.Addr) error { return errPending }
func (n *Neighbours) Close() error                               { return errPending }

type Tap struct{}

func OpenTap(v6 bool, filter []bpf.RawInstruction) (*Tap, error) { return nil, errPending }
func (t *Tap) Drain(max int, fn func(Packet)) int                { return 0 }
func (t *Tap) FD() int                                           { return -1 }
func (t *Tap) Close() error                                      { return errPending }
