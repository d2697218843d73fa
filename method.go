package rawshake

import "fmt"

// Method is the way a probe is made.
type Method uint8

const (
	// MethodRaw sends crafted packets. On Linux it needs CAP_NET_RAW; on other platforms, which have no raw engine, a
	// Prober of this method uses connect instead and says so in each Result.
	MethodRaw Method = iota
	// MethodConnect makes a kernel connection for each probe and resets it at once (SO_LINGER 0). It needs no privilege, and
	// differs from raw packets in what the kernel decides:
	//
	//   - It completes the handshake: the server accepts the connection, and sees it reset.
	//   - Attempts and their times are the kernel's (Linux: after 1, 3, 7 s and so on, since 6.5 each second at first);
	//     Config.Attempts and Config.Schedule have no effect, and Config.Options must be zero.
	//   - Descriptors are one more thing to be short of, and to wait for: see [Prober.Probe].
	//   - connect(2) tells one errno. An ICMP "port unreachable" gives ECONNREFUSED like a RST, and reads as closed; a missing
	//     route reads like an ICMP error; Result.Reply is empty. Attempt is known for open ports on Linux, and else 0.
	MethodConnect
	// MethodAuto is raw where the privilege is there and connect where it is not; then [Config.Logger] is told.
	MethodAuto
)

var methodNames = [...]string{MethodRaw: "raw", MethodConnect: "connect", MethodAuto: "auto"}

// String returns "raw", "connect" or "auto".
func (m Method) String() string {
	if int(m) < len(methodNames) {
		return methodNames[m]
	}
	return fmt.Sprintf("Method(%d)", uint8(m))
}

// ParseMethod is the inverse of [Method.String].
func ParseMethod(s string) (Method, error) {
	for m, name := range methodNames {
		if name == s {
			return Method(m), nil
		}
	}
	return 0, fmt.Errorf("method %q: want raw, connect or auto", s)
}
