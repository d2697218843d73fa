// Package lab makes small networks for tests and benchmarks: namespaces joined by veth pairs, hosts that listen, drop,
// reject, lose packets, forge answers, and a capture that asserts what was on the wire. It needs root and Linux, and
// sends nothing outside the namespaces that it made. Nothing but tests and benchmarks may import it.
//
//	func TestLabOpen(t *testing.T) {
//		lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
//			peer := n.Host("peer")
//			listener := peer.Listen(t, 80)
//			wire := peer.Capture(t)
//
//			target := netip.AddrPortFrom(peer.V4, 80)
//			// probe the target with code under test: it runs here, as user 65534 with CAP_NET_RAW alone
//
//			wire.Expect(t, target, lab.SYN(), lab.SYNACK(), lab.RST())
//			if n := listener.Accepted(); n != 0 {
//				t.Errorf("accept returned %d times", n)
//			}
//		})
//	}
//
// # Two processes
//
// [Test] runs twice. In the process that go test started (root) it builds the network of the [Topology], starts the same
// test binary once more inside the prober's namespace, for this one test, and waits. In that second process (user 65534, the
// privileges of [Topology.As]) it runs the body. So all goroutines and threads of the code under test are in the
// namespace from birth. Output, failure and skip of the body become those of the test. t.Run inside the body works; so does
// Test inside a t.Run of a table. What the test function does outside of the body happens in both processes.
//
// The body asks the first process for what needs root over a socket pair: firewall rules, routes, links, BPF programs,
// sockets in another namespace. Such a socket is opened by root and handed over, therefore listeners, captures and scripts run in
// the process of the body and may share its variables.
//
// Every method takes the t whose end undoes it, so a subtest leaves nothing to the next. A method that fails ends the test.
//
// # The network
//
// Without [Topology.Links] there are two hosts, "prober" and "peer", on one link. Link i (counted from 1) has the subnets
// 10.77.i.0/24 and fd77:0:0:i::/64; its first host has the address 1, its second 2. The interfaces of a host are eth0, eth1 … in
// the order of its links. Every host but the prober forwards, and every host has routes to all subnets and to the
// [Topology.Prefixes] of others. Duplicate address detection, router solicitation, reverse path filters and the rate limits on ICMP are
// off. An address of a link's subnet that nobody has (10.77.1.99) is a dead neighbour.
//
// # Who answers
//
//   - The kernel of a host: [Host.Listen] opens a port, others are closed, [Host.Drop] and [Host.Reject] are firewall rules.
//   - A function: [Host.Script] takes the TCP stack of a host away and hands each packet to Go, which may forge any answer, late,
//     twice or wrong.
//   - A BPF program: [Host.Respond] answers every address and port at millions of SYNs a second.
//   - The same behind a device of a host's own, without a link: [Host.Tun], and [Host.Tap], whose queue can be full for a while.
//   - [Host.Lose] loses packets on their way in and out, repeatably; [Host.Deafen] has an interface take nothing in;
//     [Host.Overflow] gives the kernel's backlog too much, [Host.CrowdNeighbours] leaves a host's kernel no room for neighbours.
//
// # What is measured
//
// [Capture] records what is on a link, and [Capture.Expect] holds it to a list of steps. [Benchmark] is Test for benchmarks;
// [BusyTime] gives the cost of the whole machine, the kernel's receive path included. [Host.Run] runs a program, or the test binary itself
// as the command under test, with the privileges that it shall have.
//
// # Without root
//
// Without root, tests skip. With the environment variable RAWSHAKE_LAB=require, as in CI, they fail instead. nft(8) is needed for
// the firewall methods only.
package lab
