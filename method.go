package rawshake

import "fmt"

// Method is the way a probe is made.
type Method uint8

const (
	// MethodRaw sends crafted packets. On Linux it needs CAP_NET_RAW; on other platforms, which have no raw engine, a
	// Prober of this method uses connect instead and says so in each Result.
	MethodRaw Method = iota
	// MethodConnect makes a kernel connection for each probe and resets it (SO_LINGER 0). It completes the handshake.
	MethodConnect
	// MethodAuto is raw where the privilege is there and connect where it is not; the logger is told once.
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
