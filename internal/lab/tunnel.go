//go:build linux && !android

package lab

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Tunnel is a tun or tap device of a host, with a Go function behind it.
type Tunnel struct {
	Name   string
	Index  int
	host   *Host
	file   *os.File
	header int        // bytes of the link header: none on a tun device
	gate   sync.Mutex // held while nobody reads
}

// Tun gives the host a tun device until the end of t: it carries IP packets without a link header, and has neither addresses nor
// neighbours. Each segment that the host sends by it is given to answer, and what that returns arrives on it. Answer runs in the process
// of the body, on one goroutine, packet by packet; nil answers nothing.
func (h *Host) Tun(t testing.TB, name string, answer func(Packet) []Answer) *Tunnel {
	t.Helper()
	return h.tunnel(t, tunnelArgs{name, unix.IFF_TUN}, 0, answer)
}

// Tap is [Host.Tun] with an Ethernet device: packets have a link header, and go to neighbours; see [Host.AddNeighbour].
func (h *Host) Tap(t testing.TB, name string, answer func(Packet) []Answer) *Tunnel {
	t.Helper()
	return h.tunnel(t, tunnelArgs{name, unix.IFF_TAP}, ether, answer)
}

type tunnelArgs struct {
	Name string
	Kind uint16
}

func (h *Host) tunnel(t testing.TB, args tunnelArgs, header int, answer func(Packet) []Answer) *Tunnel {
	t.Helper()
	d := &Tunnel{Name: args.Name, host: h, header: header}
	m, err := h.call("tunnel", args, &d.Index)
	if err != nil {
		t.Fatal(err)
	}
	d.file = m.files[0]
	t.Cleanup(func() { d.file.Close() }) // the device goes with it
	go d.run(answer)
	return d
}

// run returns when the file is closed.
func (d *Tunnel) run(answer func(Packet) []Answer) {
	for {
		frame := make([]byte, 1<<12)
		n, err := d.file.Read(frame)
		if err != nil {
			return
		}
		d.gate.Lock()
		d.take(frame[:n], answer)
		d.gate.Unlock()
	}
}

func (d *Tunnel) take(frame []byte, answer func(Packet) []Answer) {
	p, err := Decode(frame[min(d.header, len(frame)):])
	if err == nil && p.TCP != nil {
		respond(answer(p), func(packet []byte) error { return d.send(frame, packet) })
	}
}

// send has a packet arrive on the device, in answer to a frame.
func (d *Tunnel) send(to, packet []byte) error {
	var header []byte
	if d.header > 0 {
		header = append(append(append(header, to[6:12]...), to[:6]...), to[12:14]...)
	}
	_, err := d.file.Write(append(header, packet...))
	return err
}

// Hold has nobody read what the host sends by the device, until release is called: it takes as many packets as its queue has room for,
// about a thousand, and throws away all others.
func (d *Tunnel) Hold() (release func()) {
	d.gate.Lock()
	return sync.OnceFunc(d.gate.Unlock)
}

// Capture records on the device until the end of t.
func (d *Tunnel) Capture(t testing.TB) *Capture {
	t.Helper()
	return d.host.capture(t, packetArgs{Interface: d.Index, Header: d.header})
}

func opTunnel(c *call, a tunnelArgs) (any, error) {
	var file *os.File
	err := c.ns.do(func() (err error) {
		file, err = openTunnel(a)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.out = append(c.out, file)
	if err := c.up(a.Name); err != nil {
		return nil, err
	}
	link, err := c.nl.LinkByName(a.Name)
	if err != nil {
		return nil, err
	}
	return link.Attrs().Index, nil
}

// openTunnel makes a device in the namespace of the thread.
func openTunnel(a tunnelArgs) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	file := os.NewFile(uintptr(fd), a.Name)
	device, err := unix.NewIfreq(a.Name)
	if err == nil {
		device.SetUint16(a.Kind | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, device)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("make the device %s: %w", a.Name, err)
	}
	return file, nil
}
