//go:build linux && !android

package engine

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/raw"
	"golang.org/x/sys/unix"
)

// KernelConfig says how packets leave and arrive.
type KernelConfig struct {
	Source    netip.Addr // if valid, what SYNs leave from
	Interface string     // if not empty, where they leave
	Mark      uint32
	Ports     raw.PortRange // where our source ports come from; zero: the kernel chooses
	NumPorts  int           // how many
	Only4     bool          // no target is IPv6
	Only6     bool          // no target is IPv4
	Link      bool          // send whole frames where a gateway takes them: faster, and past the OUTPUT firewall
	Bulk      bool          // a receive ring for throughput instead of latency
	Frames    int           // of the receive rings; if zero, the ring's default
	Logger    *slog.Logger  // told what the sockets lack; nil: nobody is
}

// Kernel is the real wire: raw sockets, receive rings, and the guard that keeps the kernel from answering.
type Kernel struct {
	cfg    KernelConfig
	number int // among those opened together
	*kernelTables
	guard *raw.Guard
	rings []*raw.Ring
	taps  []*raw.Tap

	waiter  atomic.Pointer[raw.Waiter]
	polling atomic.Bool // somebody is about to wait in the waiter
	wake    chan struct{}
	timer   *time.Timer

	senders []Sender
	paths   []kernelPath
	losses  map[int]int // of interfaces, that were told
	closers []func() error

	arrival   Arrival
	now       time.Time // of the last Receive
	sink      func(*Arrival)
	onPacket  func(raw.Packet)
	onTapped  func(raw.Packet)
	dropsSeen uint64
}

const (
	sender4 = 0
	sender6 = 1

	lookAgain = 50 * time.Millisecond // for a next hop's link address, of which there was no news
)

// OpenKernel opens the wire. Without CAP_NET_RAW errors.Is(err, os.ErrPermission).
func OpenKernel(c KernelConfig) (*Kernel, error) {
	kernels, err := OpenKernels(c, 1)
	if err != nil {
		return nil, err
	}
	return kernels[0], nil
}

// OpenKernels opens n wires alike, each with ports of its own, or none. The kernel has them wait no longer than one.
func OpenKernels(c KernelConfig, n int) (kernels []*Kernel, err error) {
	if err := raw.CheckPrivilege(); err != nil {
		return nil, err
	}
	tables, err := openTables(c, n)
	if err != nil {
		return nil, err
	}
	for i := range n {
		kernels = append(kernels, newKernel(c, i, tables))
	}
	defer func() {
		if err != nil {
			for _, k := range kernels {
				k.Close()
			}
			kernels = nil
		}
	}()
	for _, k := range kernels {
		if err := k.openSenders(); err != nil {
			return kernels, err
		}
		if err := k.openGuard(); err != nil {
			return kernels, err
		}
	}
	kernels[0].tellGuard()
	return kernels, openRings(kernels)
}

func newKernel(c KernelConfig, number int, tables *kernelTables) *Kernel {
	k := &Kernel{cfg: c, number: number, kernelTables: tables, losses: map[int]int{}, wake: make(chan struct{}, 1), timer: time.NewTimer(0), now: time.Now()}
	k.keep(tables.release)
	k.onPacket = func(p raw.Packet) { k.hand(p, false) }
	k.onTapped = func(p raw.Packet) { k.hand(p, true) }
	return k
}

// keep has something closed with the wire.
func (k *Kernel) keep(close func() error) { k.closers = append(k.closers, close) }

// openSenders opens the raw IP sockets. A host without one of the families is fine.
func (k *Kernel) openSenders() error {
	c := raw.SocketConfig{Source: k.cfg.Source, Interface: k.cfg.Interface, Mark: k.cfg.Mark}
	for _, six := range []bool{false, true} {
		switch {
		case c.Source.IsValid() && c.Source.Is6() != six:
			k.senders = append(k.senders, noSender{syscall.EADDRNOTAVAIL})
			continue
		case k.cfg.Only4 && six, k.cfg.Only6 && !six:
			k.senders = append(k.senders, noSender{syscall.EAFNOSUPPORT})
			continue
		}
		s, err := raw.OpenIP(six, c)
		switch {
		case errors.Is(err, syscall.EAFNOSUPPORT):
			k.senders = append(k.senders, noSender{syscall.EAFNOSUPPORT})
		case err != nil:
			return err
		default:
			k.keep(s.Close)
			k.senders = append(k.senders, &ipSender{Sender: s, six: six})
		}
	}
	return nil
}

func (k *Kernel) has(six bool) bool {
	i := sender4
	if six {
		i = sender6
	}
	_, no := k.senders[i].(noSender)
	return !no
}

func (k *Kernel) openGuard() (err error) {
	k.guard, err = raw.OpenGuards(k.has(false), k.has(true), k.cfg.Ports, k.cfg.NumPorts, k.cfg.Interface)
	if err != nil {
		return err
	}
	k.keep(k.guard.Close)
	return nil
}

// tellGuard tells the operator if the kernel will not be silent towards every peer.
func (k *Kernel) tellGuard() {
	if ok, lacks := k.guard.Complete(); !ok && k.cfg.Logger != nil {
		k.cfg.Logger.Warn("the guard of our source ports is incomplete", "cause", lacks)
	}
}

// openRings gives the wires, which have the same families, their receive rings.
func openRings(kernels []*Kernel) error {
	var configs []raw.RingConfig
	for _, k := range kernels {
		c, err := k.ringConfigs()
		if err != nil {
			return err
		}
		configs = append(configs, c...)
	}
	rings, err := raw.OpenRings(configs...)
	if err != nil {
		return err
	}
	each := len(rings) / len(kernels)
	for i, k := range kernels {
		k.rings = rings[i*each:][:each]
		k.keep(func() error { return raw.CloseRings(k.rings...) })
		if e := k.newWaiter(); err == nil {
			err = e
		}
	}
	return err
}

func (k *Kernel) ringConfigs() (configs []raw.RingConfig, err error) {
	for _, six := range []bool{false, true} {
		if !k.has(six) {
			continue
		}
		c := raw.RingConfig{Proto: unix.ETH_P_IP, Frames: k.cfg.Frames, Blocks: k.cfg.Bulk}
		if six {
			c.Proto = unix.ETH_P_IPV6
		}
		if c.Filter, err = match.Filter(six, k.guard.Ports()); err != nil {
			return nil, err
		}
		configs = append(configs, c)
	}
	return configs, nil
}

// Ports returns our source ports.
func (k *Kernel) Ports() []uint16 { return k.guard.Ports() }

// Senders implements Wire.
func (k *Kernel) Senders() []Sender { return k.senders }

// chosenDown reports whether the interface that the caller insists on, for all targets or for a link-local one, is down or
// gone. Then there are no routes over it either, but the target is not to blame.
func (k *Kernel) chosenDown(dst netip.Addr) bool {
	name := cmp.Or(k.cfg.Interface, dst.Zone())
	if name == "" {
		return false
	}
	i, err := net.InterfaceByName(name)
	return err != nil || i.Flags&net.FlagUp == 0
}

// Close implements Wire.
func (k *Kernel) Close() error {
	var err error
	for i := len(k.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, k.closers[i]())
	}
	k.closers = nil
	return err
}

var _ Wire = (*Kernel)(nil)
