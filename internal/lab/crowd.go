//go:build linux && !android

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// CrowdNeighbours fills the kernel's table of neighbours, IPv4's or IPv6's, as a host does that speaks to more of them than it holds: it
// has the host forget its neighbours, and send a datagram to as many addresses on the link of eth0 that nobody has. While the kernel asks
// for a neighbour, three times and a second apart, nothing pushes it out; so long there is no room for another. At the other end of the
// link, whose table it is too, this host has a place until the end of t: else that end could not answer.
//
// The table and its size (gc_thresh3) are one for all namespaces. So a test that is parallel must not do this, and panics; packages are
// tested one by one (go test -p 1). What other programs do may make room all the same: [Host.Knows] tells.
func (h *Host) CrowdNeighbours(t testing.TB, v6 bool) {
	t.Helper()
	t.Setenv(requireVariable, os.Getenv(requireVariable)) // this is what panics
	to := netip.MustParsePrefix("10.78.0.0/16")
	if v6 {
		to = netip.MustParsePrefix("fd78::/64")
	}
	defer h.AddRoute(t, Route{To: to, Device: "eth0"})()
	h.FlushNeighbours(t)
	t.Cleanup(func() { h.FlushNeighbours(t) }) // the namespace goes later than the test, and the next one needs room
	var why string
	if h.do(t, "crowd", to.Addr(), &why); why != "" {
		cannotRun(t, why)
	}
}

// Knows reports whether the host's kernel has a place for a neighbour in its table, whether it has the link address or asks for it.
func (h *Host) Knows(t testing.TB, a netip.Addr) (known bool) {
	t.Helper()
	h.do(t, "knows", a, &known)
	return known
}

func opKnows(c *call, a netip.Addr) (any, error) {
	neighbours, err := c.nl.NeighList(0, unix.AF_UNSPEC)
	return slices.ContainsFunc(neighbours, func(n netlink.Neigh) bool { return n.IP.Equal(a.AsSlice()) }), err
}

// opCrowd returns why it cannot be done here.
func opCrowd(c *call, first netip.Addr) (any, error) {
	size, err := tableSize(first.Is6())
	if err != nil {
		return err.Error(), nil
	}
	mine := c.top.ends(c.name)[0]
	peer := c.server.world.nodes[c.top.at(mine.other())]
	remember := func() error { return peer.eachAddress(mine, peer.nl.NeighSet) }
	forget := func() error { return peer.eachAddress(mine, peer.nl.NeighDel) }
	if _, err := c.either(true, remember, forget); err != nil {
		return nil, err
	}
	return "", c.ns.do(func() error { return crowd(first, size) })
}

// eachAddress does something with the entries for the other end of a link that the kernel keeps in the host's table.
func (n *node) eachAddress(other end, do func(*netlink.Neigh) error) error {
	link, err := n.nl.LinkByName(n.interfaceName(other.other()))
	if err != nil {
		return err
	}
	for _, a := range []netip.Addr{other.addr4(), other.addr6(), other.linkLocal()} {
		err = errors.Join(err, do(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, IP: a.AsSlice(), HardwareAddr: other.mac(), State: unix.NUD_PERMANENT,
		}))
	}
	return err
}

// tableSize returns how many neighbours the kernel keeps, which only the first namespace shows, unless they are too many to ask for.
func tableSize(v6 bool) (int, error) {
	const most = 1 << 14
	path := "/proc/sys/net/ipv4/neigh/default/gc_thresh3"
	if v6 {
		path = strings.Replace(path, "ipv4", "ipv6", 1)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	size, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if size > most {
		err = fmt.Errorf("%s is %d: to fill a table of more than %d neighbours takes too many packets", path, size, most)
	}
	return size, err
}

// crowd sends datagrams to one address after the other, until so many in a row were refused that there is surely no room: before the kernel
// refuses one, it drops the neighbours that it may.
func crowd(addr netip.Addr, size int) error {
	const surely, buffer = 32, 128 // datagrams that wait for link addresses fill the buffer of their socket
	for sent, refused := 0, 0; refused < surely; {
		if sent > size+2*surely {
			return fmt.Errorf("the table of neighbours holds more than the %d of gc_thresh3", size)
		}
		fd, err := datagrams(addr.Is6())
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for range buffer {
			addr, sent, refused = addr.Next(), sent+1, refused+1
			switch err := unix.Sendto(fd, nil, 0, discardPort(addr)); err {
			case nil:
				refused = 0
			case unix.ENOBUFS, unix.EINVAL: // what IPv4 and IPv6 say
			default:
				return err
			}
		}
	}
	return nil
}

// datagrams opens a socket that is told when there is no room.
func datagrams(v6 bool) (int, error) {
	family, level, tell := unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
	if v6 {
		family, level, tell = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		err = unix.SetsockoptInt(fd, level, tell, 1)
	}
	return fd, err
}

// discardPort is the port of a host where datagrams mean nothing.
func discardPort(a netip.Addr) unix.Sockaddr {
	const port = 9
	if a.Is6() {
		return &unix.SockaddrInet6{Addr: a.As16(), Port: port}
	}
	return &unix.SockaddrInet4{Addr: a.As4(), Port: port}
}
