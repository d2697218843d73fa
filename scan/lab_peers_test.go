//go:build linux && !android

package scan

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
)

// peer is a scanner that others use.
type peerTool struct {
	name string
	args func(prefix, out string, gateway string) []string
}

var peerTools = []peerTool{
	{"zmap", func(prefix, out, gateway string) []string {
		return []string{"-p", "80", "-r", "0", "-i", "eth0", "-G", gateway, "-c", "2", "-o", out, "-q", "-b", "/dev/null",
			"--disable-syslog", prefix}
	}},
	{"masscan", func(prefix, out, gateway string) []string {
		return []string{"-p80", prefix, "--rate", "10000000", "--wait", "2", "-i", "eth0", "--router-mac", gateway, "-oL", out,
			"--exclude", "255.255.255.255"}
	}},
}

// BenchmarkPeers has other scanners ask the same targets at full speed.
func BenchmarkPeers(b *testing.B) {
	for _, tool := range peerTools {
		if _, err := exec.LookPath(tool.name); err != nil {
			b.Logf("%s is not installed", tool.name)
			continue
		}
		b.Run(tool.name, func(b *testing.B) {
			top := million
			top.As = lab.Root
			lab.Benchmark(b, top, func(b *testing.B, n *lab.Net) {
				peer := n.Host("peer").Respond(b, lab.Responder{})
				gateway := n.Host("peer").Interfaces[0].MAC.String()
				for b.Loop() {
					out := filepath.Join(b.TempDir(), "out")
					runPeer(b, n, peer, tool, out, gateway)
				}
			})
		})
	}
}

func runPeer(b *testing.B, n *lab.Net, peer *lab.Responding, tool peerTool, out, gateway string) {
	before := peer.Counters(b)
	busy, _ := lab.BusyTime()
	start := time.Now()
	var sent time.Duration
	done := make(chan struct{})
	go func() { // these tools wait for late answers: that is not part of the rate
		defer close(done)
		last := before.SYN
		for {
			time.Sleep(20 * time.Millisecond)
			c := peer.Counters(b)
			if c.SYN != last {
				last, sent = c.SYN, time.Since(start)
			}
			if c.SYN-before.SYN >= 1<<20 {
				return
			}
			if time.Since(start) > 30*time.Second {
				return
			}
		}
	}()
	var stderr bytes.Buffer
	if code := n.Prober().Run(b, lab.Command{Path: tool.name, Args: tool.args("10.128.0.0/12", out, gateway), As: lab.Root, Stderr: &stderr}); code != 0 {
		b.Fatalf("%s: exit %d\n%s", tool.name, code, stderr.String())
	}
	<-done
	used, _ := lab.BusyTime()
	after := peer.Counters(b)
	probes := float64(after.SYN - before.SYN)
	found, err := os.ReadFile(out)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(probes/sent.Seconds(), "probes/s")
	b.ReportMetric(float64(used-busy)/probes, "cpu-ns/probe")
	b.ReportMetric(100*float64(bytes.Count(found, []byte("\n")))/(1<<20), "recall%")
	b.ReportMetric(float64(after.RST-before.RST)/(1<<20), "rst/target")
}
