//go:build linux && !android

package raw

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Interface is a network interface.
type Interface struct {
	Index    int
	Name     string
	Kind     string // of a virtual one: "veth", "bridge", "vrf" ...; "" for hardware and loopback
	Hardware bool   // an Ethernet device that is not virtual
	State    LinkState
	Missed   uint64 // packets that it had no room for, since it came up
}

// Interfaces lists the interfaces of the calling thread's network namespace,
// by index. It asks netlink: /sys shows those of the namespace in which it was
// mounted.
func Interfaces() ([]Interface, error) {
	conn, err := dialRoute()
	if err != nil {
		return nil, fmt.Errorf("raw: interfaces: %w", err)
	}
	defer conn.close()
	links, err := conn.links()
	if err != nil {
		return nil, fmt.Errorf("raw: %w", err)
	}
	var all []Interface
	for _, l := range links {
		hardware := l.kind == "" && l.hardware == unix.ARPHRD_ETHER
		all = append(all, Interface{l.index, l.name, l.kind, hardware, l.state(), l.missed})
	}
	slices.SortFunc(all, func(a, b Interface) int { return cmp.Compare(a.Index, b.Index) })
	return all, nil
}
