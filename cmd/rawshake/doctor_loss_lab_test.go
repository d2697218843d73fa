//go:build linux && !android

package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/raw"
	"golang.org/x/sys/unix"
)

// TestLabDoctorBacklog: doctor counts what a backlog drops, and the command that it names is the one that it then is content with.
// The size of backlogs is the machine's, which no test changes: the file is one of this process's own.
func TestLabDoctorBacklog(t *testing.T) {
	lab.Test(t, lab.Topology{As: lab.Root}, func(t *testing.T, n *lab.Net) {
		const text = "the kernel dropped %d packets since boot because a processor's backlog was full"
		dropped := func(level, more string) (count int) {
			f := finds(t, examine(t), "backlog", level, more, "")
			if _, err := fmt.Sscanf(f.Text, text, &count); err != nil {
				t.Errorf("%+v: %v", f, err)
			}
			return count
		}
		n.Prober().Overflow(t)
		before := dropped("warn", "its size is the host's")
		n.Prober().Overflow(t)
		if after := dropped("warn", "its size is the host's"); after < before+50 {
			t.Errorf("%d packets dropped, and %d after a backlog overflowed", before, after)
		}
		const core = "/proc/sys/net/core"
		if err := unix.Mount("tmpfs", core, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(core+"/netdev_max_backlog", []byte("1000\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		mend(t, finds(t, examine(t), "backlog", "warn", "backlog was full", "sudo sysctl -w net.core.netdev_max_backlog=10000"))
		dropped("info", "it holds 10000 by now")
	})
}

// mend runs the command of a finding here, among the files of this process.
func mend(t *testing.T, f found) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", prelude(t)+f.Fix).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", f.Fix, err, out)
	}
}

// TestLabDoctorRings: hardware that had no room for packets. No virtual interface counts such packets, so this one is told of by us, in the
// kernel's place. The commands are ethtool's in the places of doctor's fix: a card with a ring of 256 that may have 4096.
func TestLabDoctorRings(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		all := findings(t, toolAmong(t, 0, []link{{name: "ens7", missed: 9}, {name: "ens8"}, {name: "gre7", kind: "gre", missed: 5}}, "doctor", "--json"))
		f := finds(t, all, "backlog", "warn", "ens7 lost 9 packets", "sudo ethtool -G ens7 rx ")
		for _, name := range []string{"ens8", "gre7"} {
			if f, found := find(all, "backlog", "warn", name); found {
				t.Errorf("%+v", f)
			}
		}
		dir := t.TempDir()
		const ethtool = `#!/bin/sh
case "$1" in
-g) printf 'Ring parameters for %s:\nPre-set maximums:\nRX:\t\t4096\nRX Mini:\tn/a\nTX:\t\t4096\nCurrent hardware settings:\nRX:\t\t256\nTX:\t\t256\n' "$2" ;;
*) echo "$@" ;;
esac
`
		if err := os.WriteFile(filepath.Join(dir, "ethtool"), []byte(ethtool), 0o755); err != nil {
			t.Fatal(err)
		}
		golden(t, "what is asked of ethtool", shell(t, n, "PATH="+dir+":$PATH; "+f.Fix), "-G ens7 rx 4096\n")
	})
}

// TestLabDoctorVRF: in a VRF guards do not find what arrives, until the command lets them. Where the kernel has no VRF, doctor is told of
// one by us, in the kernel's place, and all else is as it would be.
func TestLabDoctorVRF(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		said := shell(t, n, "ip link add red type vrf table 77")
		if said != "" {
			t.Logf("this kernel has no VRF: %s", said)
		}
		run := func(args ...string) []found {
			args = append([]string{"doctor", "--json"}, args...)
			if said == "" {
				return findings(t, tool(t, args...))
			}
			return findings(t, toolAmong(t, (len(args)-2)/2, []link{{name: "red", kind: "vrf"}}, args...)) // each -I lists them, too
		}
		finds(t, run("-I", "eth0"), "vrf", "info", "VRF red: with -I eth0 the guard listens there", "")
		f := finds(t, run(), "vrf", "warn", "VRF red: the kernel resets what answers there", "sudo sysctl -w net.ipv4.tcp_l3mdev_accept=1")
		shell(t, n, f.Fix)
		finds(t, run(), "vrf", "ok", "VRF red: tcp_l3mdev_accept lets guards cover it", "")
	})
}

// TestLabDoctorOwnLoss: doctor is stopped while packets for it arrive that its ring cannot hold, after its first SYN or after each. Of the
// target it then knows what the later ones drew, or nothing.
func TestLabDoctorOwnLoss(t *testing.T) {
	t.Parallel() // it mostly waits
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		target := ep(peer.V4, 80)
		for losses, want := range map[int][3]string{1: {"ok", "is closed (rst)", ""}, 100: {"fail", "cannot be asked: own-loss", "uptime; rawshake check --trace " + target}} {
			t.Run(want[0], func(t *testing.T) {
				asked := make(chan lab.Packet, 16)
				script := peer.Script(t, func(p lab.Packet) []lab.Answer {
					asked <- p
					return nil
				})
				cmd, stdout, stderr := command(t, nil, "doctor", "--json", target)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan struct{})
				go func() { cmd.Wait(); close(ended) }()
			answering:
				for n := 0; ; n++ {
					select {
					case <-ended:
						break answering
					case p := <-asked:
						if n < losses {
							overrun(cmd, script, p.PeerRST())
						} else {
							script.Send(p.PeerRST().Bytes())
						}
					}
				}
				all := findings(t, outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()})
				finds(t, all, "receive", "warn", "packets meanwhile", "uptime; rawshake check --trace "+target)
				finds(t, all, "answer", want[0], want[1], want[2])
			})
		}
	})
}

// overrun stops a command until its ring, which holds 4096 packets, has had more, and what it waits for is overdue. The packets answer
// nothing that it sent, and its filter lets them in.
func overrun(cmd *exec.Cmd, script *lab.Script, p lab.Segment) {
	cmd.Process.Signal(syscall.SIGSTOP)
	p.Ack += 1000
	for range 20000 {
		script.Send(p.Bytes())
	}
	time.Sleep(1200 * time.Millisecond)
	cmd.Process.Signal(syscall.SIGCONT)
}

// TestLabDoctorLinkLost: the carrier goes away while doctor waits for the answer.
func TestLabDoctorLinkLost(t *testing.T) {
	t.Parallel() // it mostly waits
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		asked := make(chan lab.Packet, 16)
		peer.Script(t, func(p lab.Packet) []lab.Answer {
			asked <- p
			return nil
		})
		cmd, stdout, stderr := command(t, nil, "doctor", "--json", ep(peer.V4, 80))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-asked
		peer.LinkDown(t, "eth0")
		cmd.Wait()
		all := findings(t, outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()})
		f := finds(t, all, "answer", "fail", "cannot be asked: link-down", "ip link show dev eth0")
		contains(t, shell(t, n, f.Fix), "NO-CARRIER")
	})
}

// TestLabDoctorConntrack fills the connection table, and holds what doctor says about rules that drop INVALID packets. A table too large
// to be filled here is full only in TestLabDoctorOwnConntrack.
func TestLabDoctorConntrack(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		peer.Listen(t, 80)
		prober.Nft(t, `chain in { type filter hook input priority 0; ct state invalid drop; }
			chain out { type filter hook output priority 0; ct state new accept; }`)
		finds(t, examine(t), "conntrack", "ok", "the connection table holds", "")
		f := finds(t, examine(t), "conntrack", "info", "rules are not examined", "grep -n invalid")
		contains(t, shell(t, n, f.Fix), "ct state invalid drop")
		tool(t, "check", ep(peer.V4, 80)).want(t, 0)

		limit := readNumber(t, "/proc/sys/net/netfilter/nf_conntrack_max")
		if limit > 1<<20 {
			t.Logf("the table has room for %d connections: too many to fill it here", limit)
			return
		}
		track(t, 0, limit*85/100)
		finds(t, examine(t), "conntrack", "warn", "; the limit is the host's: set it there", "nf_conntrack_max=")
		track(t, limit*85/100, limit*97/100)
		finds(t, examine(t), "conntrack", "fail", "; the limit is the host's: set it there", "nf_conntrack_max=")
	})
}

// TestLabDoctorOwnConntrack: where the limit can be written, as in the host's own network namespace, the command mends a table that gets
// full. The file with the limit is one of this process's own.
func TestLabDoctorOwnConntrack(t *testing.T) {
	lab.Test(t, lab.Topology{As: lab.Root}, func(t *testing.T, n *lab.Net) {
		n.Prober().Nft(t, "chain out { type filter hook output priority 0; ct state new accept; }")
		limit := filepath.Join(t.TempDir(), "max")
		if err := os.WriteFile(limit, []byte("1000\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(limit, "/proc/sys/net/netfilter/nf_conntrack_max", "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		before := 0
		for _, test := range []struct {
			entries     int
			level, text string
		}{{850, "warn", "a full table drops packets"}, {3900, "fail", "our SYNs too"}} {
			track(t, before, test.entries)
			before = test.entries
			f := finds(t, examine(t), "conntrack", test.level, test.text, fmt.Sprintf("sudo sysctl -w net.netfilter.nf_conntrack_max=%d", 4*readNumber(t, limit)))
			mend(t, f)
			finds(t, examine(t), "conntrack", "ok", "the connection table holds", "")
		}
	})
}

func readNumber(t *testing.T, path string) (n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// track sends SYNs to a guarded port on loopback, where nobody answers, from ever new addresses: each makes an entry. It makes those from
// the one that is counted first to the one before last.
func track(t *testing.T, first, last int) {
	t.Helper()
	sender, err := raw.OpenIP(false, raw.SocketConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	guard, err := raw.OpenGuard(false, raw.PortRange{}, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	const perSource = 60000 // ports
	dst := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	var syn *craft.Template
	inBatch := 0
	for i := first; i < last; i++ {
		if syn == nil || i%perSource == 0 {
			source := netip.AddrFrom4([4]byte{127, 1, 0, byte(1 + i/perSource)})
			if syn, err = craft.NewSYN(craft.Spec{Source: source}); err != nil {
				t.Fatal(err)
			}
		}
		n := syn.Put(sender.Frame(inBatch)[craft.Headroom:], dst, uint16(1024+i%perSource), guard.Ports()[0], uint32(i), 0)
		sender.SetIP(inBatch, n, dst, 0)
		if inBatch++; inBatch < raw.BatchSize && i < last-1 {
			continue
		}
		if _, err := sender.Send(0, inBatch); err != nil {
			t.Fatalf("after %d entries: %v", i, err)
		}
		inBatch = 0
	}
}
