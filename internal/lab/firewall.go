//go:build linux && !android

package lab

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// Reject is what a host's firewall answers with, in the words of nft(8).
type Reject string

// The rejects that a kernel knows. Other ICMP errors come from a [Host.Script] or, TTL exceeded, from a router.
const (
	NetUnreachable  Reject = "icmp type net-unreachable"
	HostUnreachable Reject = "icmp type host-unreachable"
	ProtUnreachable Reject = "icmp type prot-unreachable"
	PortUnreachable Reject = "icmp type port-unreachable"
	NetProhibited   Reject = "icmp type net-prohibited"
	HostProhibited  Reject = "icmp type host-prohibited"
	AdminProhibited Reject = "icmp type admin-prohibited"

	NoRoute6         Reject = "icmpv6 type no-route"
	AdminProhibited6 Reject = "icmpv6 type admin-prohibited"
	AddrUnreachable6 Reject = "icmpv6 type addr-unreachable"
	PortUnreachable6 Reject = "icmpv6 type port-unreachable"

	TCPReset Reject = "tcp reset" // both families
)

// Drop makes the host ignore TCP to these ports, as target and as router, until the end of t.
func (h *Host) Drop(t testing.TB, ports ...uint16) (undo func()) {
	t.Helper()
	return h.Nft(t, inAndForward("tcp dport { "+list(ports)+" } drop"))
}

// Reject makes the host refuse TCP to a port, as target and as router, until the end of t. ICMP rejects concern the packets of
// their family only.
func (h *Host) Reject(t testing.TB, port uint16, with Reject) (undo func()) {
	t.Helper()
	return h.Nft(t, inAndForward(fmt.Sprintf("tcp dport %d reject with %s", port, with)))
}

// Nft adds chains to the host's firewall until the end of t, for instance
//
//	chain out { type filter hook output priority 0; ip daddr 10.77.1.2 tcp dport 80 drop; }
//	chain nat { type nat hook output priority -100; tcp dport 81 dnat ip to 10.77.1.2:80; }
//
// They go to a table of their own of the family inet.
func (h *Host) Nft(t testing.TB, chains string) (undo func()) {
	t.Helper()
	return h.do(t, "nft", chains, nil)
}

func inAndForward(rule string) string {
	const chain = "chain %s { type filter hook %s priority 0; %s; }\n"
	return fmt.Sprintf(chain, "in", "input", rule) + fmt.Sprintf(chain, "through", "forward", rule)
}

func list(ports []uint16) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(ports)), ", "), "[]")
}

func opNft(c *call, chains string) (any, error) {
	n := c.node
	table := fmt.Sprint("inet lab", c.server.last+1)
	c.undoBy(func() error { return n.nft("delete table " + table) })
	return none{}, n.nft("table " + table + " {\n" + chains + "\n}")
}

func (n *node) nft(script string) error {
	return n.ns.do(func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("nft (Debian package nftables): %w\n%s\n%s", err, script, out)
		}
		return nil
	})
}
