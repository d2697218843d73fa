//go:build linux && !android

package raw

import (
	"cmp"
	"crypto/rand"
	"fmt"

	"golang.org/x/sys/unix"
)

// listen opens one listener that drops everything and returns its port. All
// options are set before it listens: there is no moment at which it answers.
func (o *opener) listen(v6 bool, port uint16) (fd int, got uint16, err error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, 0, fmt.Errorf("%s listener: %w", familyName(v6), err)
	}
	err = cmp.Or(o.silence(fd, v6), bindDevice(fd, o.device), own(fd, v6, port))
	if err == nil {
		got, err = localPort(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, fmt.Errorf("%s listener on port %d: %w", familyName(v6), port, err)
	}
	return fd, got, nil
}

func (o *opener) silence(fd int, v6 bool) error {
	if err := o.sign(fd, v6); err != nil {
		o.g.missing = err
	}
	if v6 {
		return cmp.Or(
			setInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1, "IPV6_V6ONLY"),
			setInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT, 255, "IPV6_MINHOPCOUNT"))
	}
	return setInt(fd, unix.IPPROTO_IP, unix.IP_MINTTL, 255, "IP_MINTTL")
}

// signEverything asks for an MD5 signature (RFC 2385) with a key nobody
// knows, from every address of the family.
func signEverything(fd int, v6 bool) error {
	sig := unix.TCPMD5Sig{Flags: unix.TCP_MD5SIG_FLAG_PREFIX, Prefixlen: 0, Keylen: 32}
	sig.Addr.Family = unix.AF_INET
	if v6 {
		sig.Addr.Family = unix.AF_INET6
	}
	rand.Read(sig.Key[:sig.Keylen])
	return unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG_EXT, &sig)
}

// own binds to the wildcard address and listens. The backlog stays empty.
func own(fd int, v6 bool, port uint16) error {
	var address unix.Sockaddr = &unix.SockaddrInet4{Port: int(port)}
	if v6 {
		address = &unix.SockaddrInet6{Port: int(port)}
	}
	if err := unix.Bind(fd, address); err != nil {
		if err == unix.EACCES {
			return fmt.Errorf("bind: %w (ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE: give higher source ports)", err)
		}
		return named("bind", err)
	}
	return named("listen", unix.Listen(fd, 1))
}

func localPort(fd int) (uint16, error) {
	address, err := unix.Getsockname(fd)
	switch a := address.(type) {
	case *unix.SockaddrInet4:
		return uint16(a.Port), nil
	case *unix.SockaddrInet6:
		return uint16(a.Port), nil
	}
	return 0, named("getsockname", err)
}
