package match

// State is what a probe found out about its target. Every probe ends in exactly one.
type State uint8

const (
	// Unsent means that the probe did not reach the wire; it says nothing about the target. It is the zero
	// value, so that a forgotten verdict never reads as a statement about somebody's service.
	Unsent State = iota
	// Open means that a SYN-ACK answered.
	Open
	// Closed means that a RST answered.
	Closed
	// Unreachable means that an ICMP error answered, that the kernel has no route, or that the neighbour on the
	// same link is dead.
	Unreachable
	// Filtered means silence until the timeout.
	Filtered

	// NumStates is the number of states, for arrays indexed by State.
	NumStates
)

var stateNames = [NumStates]string{"unsent", "open", "closed", "unreachable", "filtered"}

// String returns the lower-case word used in records: "open", "closed", "unreachable", "filtered", "unsent".
func (s State) String() string {
	if s < NumStates {
		return stateNames[s]
	}
	return "invalid"
}

// ParseState is the inverse of [State.String].
func ParseState(word string) (State, bool) {
	for s, name := range stateNames {
		if name == word {
			return State(s), true
		}
	}
	return 0, false
}

// Reason says why a probe ended in its state.
type Reason uint8

// The reasons of an answer and of silence.
const (
	NoReason Reason = iota
	SYNACK          // open
	RST             // closed
	Timeout         // filtered

	// ICMP errors, state unreachable. The Result carries type, code and responder besides.
	NetUnreachable
	HostUnreachable
	ProtocolUnreachable
	PortUnreachable
	FragmentationNeeded
	AdminProhibited
	TTLExceeded
	ParameterProblem
	ICMPOther

	// Local knowledge, state unreachable.
	NoRoute     // the routing table has no way, or an unreachable, prohibit or blackhole route
	NoNeighbour // an on-link host that answers neither ARP nor neighbour discovery

	// Local failures, state unsent.
	Unresolved    // the neighbour's link address was not known before the timeout
	GatewayDown   // the next hop answers neither ARP nor neighbour discovery
	LocalFirewall // EPERM from the OUTPUT chain
	NoBuffers     // ENOBUFS: the interface or the neighbour table is full
	LinkDown      // the interface lost its carrier, went down or away
	OutOfScope    // the target is not among the allowed prefixes
	NoSource      // no source address of the target's family
	Overload      // no turn before the timeout: no slot, source port or place in the rate came free
	Canceled      // the caller gave up
	Stopped       // the prober was closed
	SendFailed    // any other errno; Result.Err has it
	ConnectFailed // the connect method could not make its socket
	LossOfOurs    // our receive ring dropped packets while this probe was pending, until its timeout
	NoName        // the target's name did not resolve
	NumReasons    // the number of reasons, for arrays indexed by Reason
)

var reasonNames = [NumReasons]string{
	"", "syn-ack", "rst", "timeout",
	"net-unreachable", "host-unreachable", "protocol-unreachable", "port-unreachable", "fragmentation-needed",
	"admin-prohibited", "ttl-exceeded", "parameter-problem", "icmp-other",
	"no-route", "no-neighbour",
	"unresolved", "gateway-down", "local-firewall", "no-buffers", "link-down", "out-of-scope", "no-source", "overload",
	"canceled", "stopped", "send-failed", "connect-failed", "own-loss",
	"name-unresolved",
}

// ParseReason is the inverse of [Reason.String], but for NoReason.
func ParseReason(word string) (Reason, bool) {
	for r, name := range reasonNames {
		if name == word && word != "" {
			return Reason(r), true
		}
	}
	return 0, false
}

// String returns the word used in records, such as "syn-ack" or "gateway-down".
func (r Reason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "invalid"
}
