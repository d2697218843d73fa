package connect

import (
	"cmp"
	"errors"
	"net"
	"syscall"
)

// socketOptions are what a Config asks of a socket before it connects. The zero value asks for nothing.
type socketOptions struct {
	ttl, tos uint8
	mark     uint32
	device   string
	latePort bool // a bound source address shall not cost a port of its own
}

func (c Config) socketOptions() socketOptions {
	late := c.Source.IsValid() && c.SourcePorts == PortRange{}
	return socketOptions{ttl: c.TTL, tos: c.TOS, mark: c.Mark, device: c.Interface, latePort: late}
}

// control returns a net.Dialer.Control that sets the options; nil if there are none.
func (o socketOptions) control() func(network, address string, c syscall.RawConn) error {
	if o == (socketOptions{}) {
		return nil
	}
	return func(network, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = o.set(int(fd), network == "tcp6") })
		return errors.Join(err, failed)
	}
}

// check tries the options on a socket that is never connected, so that what cannot work fails at once.
func (o socketOptions) check() error {
	set := o.control()
	if set == nil {
		return nil
	}
	var failed error
	abort := errors.New("tried")
	d := net.Dialer{Control: func(network, address string, c syscall.RawConn) error {
		failed = set(network, address, c)
		return abort
	}}
	if _, err := d.Dial("tcp4", "127.0.0.1:1"); !errors.Is(err, abort) {
		return err
	}
	return failed
}

// set sets the options of a socket.
func (o socketOptions) set(fd int, v6 bool) error {
	return cmp.Or(setHeader(fd, v6, o.ttl, o.tos), o.setPath(fd))
}
