//go:build linux && !android

package raw

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/net/bpf"
)

var errPending = errors.New("raw: not written yet")

type RouteConfig struct {
	Source    netip.Addr
	Interface string
	Mark      uint32
}
type RouteKind uint8

const (
	Local RouteKind = iota
	Link
	PointToPoint
)

type Route struct {
	Interface int
	Source    netip.Addr
	Gateway   netip.Addr
	Kind      RouteKind
	SourceMAC [6]byte
	MTU       int
}
type Routes struct{}

func OpenRoutes(c RouteConfig) (*Routes, error)        { return nil, errPending }
func (r *Routes) Lookup(dst netip.Addr) (Route, error) { return Route{}, errPending }
func (r *Routes) Generation() uint64                   { return 0 }
func (r *Routes) Close() error                         { return errPending }

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

type LinkState struct{ Exists, Up, Carrier bool }
type Links struct{}

func OpenLinks() (*Links, error)             { return nil, errPending }
func (l *Links) State(ifindex int) LinkState { return LinkState{} }
func (l *Links) Generation() uint64          { return 0 }
func (l *Links) Close() error                { return errPending }

type Tap struct{}

func OpenTap(v6 bool, filter []bpf.RawInstruction) (*Tap, error) { return nil, errPending }
func (t *Tap) Drain(max int, fn func(Packet)) int                { return 0 }
func (t *Tap) FD() int                                           { return -1 }
func (t *Tap) Close() error                                      { return errPending }

func zoneIndex(zone string) (int, error) {
	if zone == "" {
		return 0, nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return i.Index, nil
}

func guardDevice(device string) (string, error) { return "", nil }
