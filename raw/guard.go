//go:build linux && !android

package raw

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// PortRange is an inclusive range of TCP ports. The zero value leaves the
// choice to the kernel, which takes ports of net.ipv4.ip_local_port_range at
// random and spares net.ipv4.ip_local_reserved_ports.
type PortRange struct{ First, Last uint16 }

// String returns the range as in "40000-40010".
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// RangeError says that a range has too few free ports.
type RangeError struct {
	Range        PortRange
	Free, Needed int
}

func (e *RangeError) Error() string {
	size := int(e.Range.Last) - int(e.Range.First) + 1
	if size < e.Needed {
		return fmt.Sprintf("it takes %d source ports, and the range %v has %d: widen it to %d or more", e.Needed, e.Range, size, e.Needed)
	}
	return fmt.Sprintf("it takes %d source ports, and %d of the range %v are free: widen it, or see who has them with `ss -tanp`", e.Needed, e.Free, e.Range)
}

// Guard owns TCP ports and keeps the kernel silent on them: segments that
// arrive there are dropped before anything answers, while packet sockets and
// raw sockets still see them. Without it the kernel would reset each
// handshake that a crafted SYN began. It also keeps others off the ports:
// bind(2) and connect(2) of other programs cannot get them.
//
// A port is owned by a listener for each family (wildcard address, no
// SO_REUSE*, IPv6 only where it is IPv6), because the lookup in tcp_v4_rcv and
// tcp_v6_rcv must find one: a bound socket that does not listen mutes nothing.
// Two options then make it drop everything, both checked right after the
// lookup (net/ipv4/tcp_ipv4.c, net/ipv6/tcp_ipv6.c):
//
//   - IP_MINTTL=255, IPV6_MINHOPCOUNT=255: drops what crossed a router or
//     left with a smaller TTL than the largest;
//   - TCP_MD5SIG_EXT with a random key for every address (prefix length 0):
//     drops what is not signed with it, and so a TTL of 255 too.
//
// Neither needs a capability, unlike a socket filter on a TCP socket.
//
// A Guard is safe for concurrent use.
type Guard struct {
	ports   []uint16
	fds     []int
	missing error // of TCP_MD5SIG_EXT
}

// OpenGuard is OpenGuards for one family.
func OpenGuard(v6 bool, ports PortRange, n int, device string) (*Guard, error) {
	return OpenGuards(!v6, v6, ports, n, device)
}

// OpenGuards owns n distinct ports, the same numbers in both families if both
// are asked for. In a range, ports that are taken are passed over; a range
// without n free ports is a *RangeError.
//
// The device is the interface that the segments will arrive by, or "". It
// matters only in a VRF, whose segments do not find a wildcard listener
// unless net.ipv4.tcp_l3mdev_accept is set: there the listeners are bound to
// the device. Everywhere else they own the port on all interfaces.
func OpenGuards(v4, v6 bool, ports PortRange, n int, device string) (*Guard, error) {
	device, err := guardDevice(device)
	if err != nil {
		return nil, fmt.Errorf("raw: guard: %w", err)
	}
	g := &Guard{}
	o := opener{g: g, v4: v4, v6: v6, device: device, sign: signEverything}
	if err := o.open(ports, n); err != nil {
		g.Close()
		return nil, fmt.Errorf("raw: guard: %w", err)
	}
	return g, nil
}

// Ports returns the ports that the guard owns, in no particular order. The
// caller must not change the slice.
func (g *Guard) Ports() []uint16 { return g.ports }

// Complete reports whether the guard is silent towards every peer. If not,
// the reason says what is missing; the kernel then resets the segments of
// peers on the same link that send with the largest TTL, 255.
func (g *Guard) Complete() (ok bool, reason string) {
	if g.missing == nil {
		return true, ""
	}
	return false, fmt.Sprintf("the kernel refuses TCP_MD5SIG_EXT (%v; built without CONFIG_TCP_MD5SIG, or in FIPS mode?): "+
		"it resets segments that arrive with TTL 255", g.missing)
}

// Close gives the ports back.
func (g *Guard) Close() error {
	var errs []error
	for _, fd := range g.fds {
		errs = append(errs, unix.Close(fd))
	}
	g.fds = nil
	return errors.Join(errs...)
}

// opener fills a Guard.
type opener struct {
	g      *Guard
	v4, v6 bool
	device string
	sign   func(fd int, v6 bool) error
}

func (o *opener) open(ports PortRange, n int) error {
	if ports == (PortRange{}) {
		return o.openAny(n)
	}
	if ports.First == 0 || ports.Last < ports.First {
		return fmt.Errorf("source ports %v: give first and last port, the smaller first, from 1 to 65535", ports)
	}
	return o.openIn(ports, n)
}

// openAny lets the kernel choose in one family, and tries its choice in the
// other.
func (o *opener) openAny(n int) error {
	taken := 0
	for len(o.g.ports) < n {
		err := o.port(0)
		if err != nil && !errors.Is(err, unix.EADDRINUSE) {
			return err
		}
		if err == nil {
			continue
		}
		if taken++; taken > n+1000 {
			return fmt.Errorf("only %d of %d source ports found free: widen net.ipv4.ip_local_port_range, or give a range of ports", len(o.g.ports), n)
		}
	}
	return nil
}

// openIn takes ports of the range in random order, so that neither two
// programs nor two runs ask for the same ones first.
func (o *opener) openIn(ports PortRange, n int) error {
	size := int(ports.Last) - int(ports.First) + 1
	for _, i := range rand.Perm(size) {
		if len(o.g.ports) == n {
			break
		}
		if err := o.port(ports.First + uint16(i)); err != nil && !errors.Is(err, unix.EADDRINUSE) {
			return err
		}
	}
	if len(o.g.ports) < n {
		return &RangeError{ports, len(o.g.ports), n}
	}
	return nil
}

// port owns a port in every family that is asked for, or in none.
func (o *opener) port(port uint16) error {
	var fds []int
	for _, v6 := range o.families() {
		fd, got, err := o.listen(v6, port)
		if err != nil {
			closeAll(fds)
			return err
		}
		fds, port = append(fds, fd), got
	}
	o.g.fds = append(o.g.fds, fds...)
	o.g.ports = append(o.g.ports, port)
	return nil
}

func (o *opener) families() (v6 []bool) {
	if o.v4 {
		v6 = append(v6, false)
	}
	if o.v6 {
		v6 = append(v6, true)
	}
	return v6
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
