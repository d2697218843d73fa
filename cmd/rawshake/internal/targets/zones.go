package targets

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/rawshake/rawshake/scan/target"
)

// CheckZones finds what this host cannot send to: zones that are no interfaces of it, and link-local addresses without one, unless -I
// names an interface for all. The error is a *target.Error.
func CheckZones(space *target.Space, device string) error {
	for _, a := range space.Zoned() {
		if !hasInterface(a.Zone()) {
			return &target.Error{Text: a.String(), Problem: fmt.Sprintf("this host has no interface %q: `ip link` lists those that it has", a.Zone())}
		}
	}
	if a, ok := space.Unzoned(); ok && device == "" {
		return &target.Error{Text: a.String(), Problem: fmt.Sprintf("a link-local address needs its interface: write it behind the address, as in %v%%eth0, or name it with -I", a)}
	}
	return nil
}

// hasInterface reports whether a zone, a name or a number, is an interface. Without netlink nobody can tell, and opening the sockets
// will say what to do about that.
func hasInterface(zone string) bool {
	_, err := net.InterfaceByName(zone)
	if err == nil || errors.Is(err, syscall.EAFNOSUPPORT) {
		return true
	}
	index, err := strconv.Atoi(zone)
	if err == nil {
		_, err = net.InterfaceByIndex(index)
	}
	return err == nil
}
