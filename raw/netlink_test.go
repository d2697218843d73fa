//go:build linux && !android

package raw

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// What a request writes, the readers read.
func TestRequestRoundTrip(t *testing.T) {
	r := newRequest(unix.RTM_NEWROUTE, unix.RtMsg{Family: unix.AF_INET, Dst_len: 24, Type: unix.RTN_UNICAST})
	r.attribute(unix.RTA_DST, []byte{192, 0, 2, 0})
	r.attribute(unix.RTA_IP_PROTO, []byte{6}) // padded
	r.attributeUint32(unix.RTA_OIF, 7)
	n := 0
	for m := range messages(append(r.encode(3), r.encode(4)...)) {
		n++
		h, attrs := header[unix.RtMsg](m)
		p, ok := destination(h, attrs)
		if m.kind != unix.RTM_NEWROUTE || m.seq != uint32(2+n) || !ok || p != netip.MustParsePrefix("192.0.2.0/24") ||
			attrs.uint32(unix.RTA_OIF) != 7 || attrs.find(unix.RTA_IP_PROTO)[0] != 6 {
			t.Errorf("%+v: %+v %v", m, h, attrs)
		}
	}
	if n != 2 {
		t.Errorf("%d messages", n)
	}
}

// Bytes that the kernel would not send do no harm either.
func FuzzNetlink(f *testing.F) {
	r := newRequest(unix.RTM_NEWLINK, unix.IfInfomsg{Index: 3})
	r.attribute(unix.IFLA_IFNAME, []byte("eth0\x00"))
	r.attribute(unix.IFLA_LINKINFO, append([]byte{8, 0, 1, 0}, "vrf\x00"...))
	f.Add(r.encode(1))
	f.Fuzz(func(t *testing.T, b []byte) {
		for m := range messages(b) {
			parseLink(m)
			parseNeighbour(m)
			h, attrs := header[unix.RtMsg](m)
			if p, ok := destination(h, attrs); ok {
				newCells(p.Addr().Is6(), []netip.Prefix{p})
			}
			gateway(attrs)
			mtu(attrs, linkInfo{})
			verdict(m, false)
		}
	})
}

func TestCells(t *testing.T) {
	prefixes := []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.2.0/24"),
		netip.MustParsePrefix("10.1.2.3/32"), netip.MustParsePrefix("255.255.255.255/32"),
	}
	c := newCells(false, prefixes)
	same := func(a, b string) bool { return c.find(netip.MustParseAddr(a)) == c.find(netip.MustParseAddr(b)) }
	for _, x := range []struct {
		a, b string
		want bool
	}{
		{"0.0.0.0", "9.255.255.255", true}, {"9.255.255.255", "10.0.0.0", false}, {"10.1.2.0", "10.1.2.2", true},
		{"10.1.2.2", "10.1.2.3", false}, {"10.1.2.3", "10.1.2.4", false}, {"10.1.2.4", "10.1.2.255", true}, {"10.1.2.255", "10.1.3.0", false},
		{"11.0.0.0", "127.255.255.255", true}, {"127.255.255.255", "128.0.0.0", false}, {"255.255.255.254", "255.255.255.255", false},
	} {
		if same(x.a, x.b) != x.want {
			t.Errorf("%s and %s", x.a, x.b)
		}
	}
	c = newCells(true, []netip.Prefix{netip.MustParsePrefix("ffff::/16"), netip.MustParsePrefix("2000::ffff:ffff:ffff:ffff/128"), netip.MustParsePrefix("fd00::/64")})
	for _, x := range []struct {
		a, b string
		want bool
	}{
		{"fffe::", "ffff::", false}, {"ffff::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
		{"2000::ffff:ffff:ffff:ffff", "2000:0:0:1::", false}, {"fd00::1", "fd00::ffff:ffff:ffff:ffff", true}, {"fd00::1", "fd00:0:0:1::", false},
	} {
		if same(x.a, x.b) != x.want {
			t.Errorf("%s and %s", x.a, x.b)
		}
	}
}

func TestForks(t *testing.T) {
	a := netip.MustParseAddr
	cut := forks([]netip.Addr{a("2001:db8::1"), a("2001:db8:8000::1"), a("2001:db8::1"), a("fd00::1")})
	c := newCells(true, cut)
	for _, x := range []struct {
		a, b string
		want bool
	}{
		{"2001:db8::9", "2001:db8:7fff::", true}, {"2001:db8::9", "2001:db8:8000::9", false}, {"fd00::9", "ff00::", true}, {"fd00::9", "2600::", false},
	} {
		if got := c.find(a(x.a)) == c.find(a(x.b)); got != x.want {
			t.Errorf("%s and %s: %v", x.a, x.b, cut)
		}
	}
	if forks(nil) != nil || forks([]netip.Addr{a("::1")}) != nil {
		t.Error("one address needs no choice")
	}
}
