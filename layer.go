package rawshake

import "fmt"

// Layer says by what kind of socket crafted packets leave.
type Layer uint8

const (
	// LayerDefault is LayerIP in a [Prober], and LayerEthernet in a scan.
	LayerDefault Layer = iota
	// LayerIP sends by raw IP sockets: packets take the way that a connection of this host would, through its OUTPUT firewall,
	// address translation and connection tracking.
	LayerIP
	// LayerEthernet sends whole frames, past all of that, wherever the next hop has a link address, for which it asks itself: a target
	// on the link is asked by ARP or neighbour discovery before it gets a SYN. Loopback, own addresses and tunnels are reached by raw
	// IP sockets all the same. A packet costs half as much or less.
	LayerEthernet
)

// String returns "default", "ip" or "ethernet".
func (l Layer) String() string {
	names := [...]string{LayerDefault: "default", LayerIP: "ip", LayerEthernet: "ethernet"}
	if int(l) < len(names) {
		return names[l]
	}
	return fmt.Sprintf("Layer(%d)", uint8(l))
}

// check finds what cannot be; mark is the SO_MARK that packets should have.
func (l Layer) check(mark uint32) error {
	switch {
	case l > LayerEthernet:
		return fmt.Errorf("Config.Layer is %v: want LayerIP or LayerEthernet", l)
	case l == LayerEthernet && mark != 0:
		return fmt.Errorf("Config.Mark is %d, and Config.Layer ethernet: whole frames are not routed by their mark; use LayerIP", mark)
	}
	return nil
}
