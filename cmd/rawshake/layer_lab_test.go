//go:build linux && !android

package main

import (
	"net"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
)

// TestLabSendLayer: --send-ip has a scan pass the OUTPUT firewall, and --send-eth has a check pass it by.
func TestLabSendLayer(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		n.Prober().Nft(t, `chain out { type filter hook output priority 0; tcp dport 80 drop; }`)
		meet(t, n.Host("peer").V4)
		meet(t, n.Host("peer").V6)
		scan := []string{"scan", "10.128.0.0/29", "fd80::/125", "-p", "80", "--show", "all", "-t", "200ms", "--progress", "off", "--checkpoint", "off"}
		for _, c := range []struct {
			args []string
			want string
			code int
		}{
			{[]string{"check", "10.128.0.1:80"}, "local-firewall", 4},
			{[]string{"check", "[fd80::1]:80"}, "local-firewall", 4},
			{[]string{"check", "--send-eth", "10.128.0.1:80"}, "10.128.0.1:80          open ", 0},
			{[]string{"check", "--send-eth", "[fd80::1]:80"}, "[fd80::1]:80           open ", 0},
			{scan, "16 of 16 targets: 16 open", 0},
			{append(scan, "--send-ip"), "0 filtered, 16 unsent", 5},
		} {
			o := tool(t, c.args...)
			o.want(t, c.code)
			contains(t, o.stdout+o.stderr, c.want)
		}
	})
}

// meet has the kernel learn the link address of a neighbour.
func meet(t *testing.T, neighbour interface{ String() string }) {
	t.Helper()
	c, err := net.Dial("udp", net.JoinHostPort(neighbour.String(), "9"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("hello"))
	time.Sleep(100 * time.Millisecond)
}
