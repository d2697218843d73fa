package connect

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// setPath sets what decides where packets leave.
func (o socketOptions) setPath(fd int) error {
	if err := setOption("Config.Mark", fd, unix.SOL_SOCKET, unix.SO_MARK, int(o.mark)); err != nil {
		return fmt.Errorf("%w (it needs CAP_NET_RAW; before Linux 5.17, CAP_NET_ADMIN)", err)
	}
	if o.device != "" {
		if err := unix.BindToDevice(fd, o.device); err != nil {
			return fmt.Errorf("Config.Interface %q: %w", o.device, os.NewSyscallError("setsockopt", err))
		}
	}
	if o.latePort { // ip(7): the port is chosen by connect(2), which may share it among destinations
		return setOption("Config.Source", fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}
	return nil
}

// kernelRTT returns the kernel's measure of the handshake and how many SYNs it had to repeat (tcp(7), TCP_INFO).
func kernelRTT(conn *net.TCPConn) (rtt time.Duration, repeated int) {
	c, err := conn.SyscallConn()
	if err != nil {
		return 0, 0
	}
	var info *unix.TCPInfo
	c.Control(func(fd uintptr) { info, _ = unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO) })
	if info == nil {
		return 0, 0
	}
	return time.Duration(info.Rtt) * time.Microsecond, int(info.Total_retrans)
}
