package rawshake

import "github.com/rawshake/rawshake/match"

// Reason says why a probe ended in its state. Its String is the word in records, such as "syn-ack" or "gateway-down".
type Reason = match.Reason

// The reasons of answers and of silence.
const (
	ReasonNone    Reason = match.NoReason // of a zero Result
	ReasonSYNACK  Reason = match.SYNACK   // Open
	ReasonRST     Reason = match.RST      // Closed
	ReasonTimeout Reason = match.Timeout  // Filtered
)

// The reasons of Unreachable. Those of ICMP errors come with type, code and responder in [Reply], unless by MethodConnect.
const (
	ReasonNetUnreachable      Reason = match.NetUnreachable
	ReasonHostUnreachable     Reason = match.HostUnreachable
	ReasonProtocolUnreachable Reason = match.ProtocolUnreachable
	ReasonPortUnreachable     Reason = match.PortUnreachable
	ReasonFragmentationNeeded Reason = match.FragmentationNeeded
	ReasonAdminProhibited     Reason = match.AdminProhibited
	ReasonTTLExceeded         Reason = match.TTLExceeded
	ReasonParameterProblem    Reason = match.ParameterProblem
	ReasonICMPOther           Reason = match.ICMPOther
	ReasonNoRoute             Reason = match.NoRoute     // the routing table has no way, or one that is unreachable, prohibit or blackhole
	ReasonNoNeighbour         Reason = match.NoNeighbour // a host on the link that answers neither ARP nor neighbour discovery
)

// The reasons of Unsent: what kept this machine from asking.
const (
	ReasonUnresolved    Reason = match.Unresolved    // the neighbour's link address was not known before the timeout
	ReasonGatewayDown   Reason = match.GatewayDown   // the next hop answers neither ARP nor neighbour discovery
	ReasonLocalFirewall Reason = match.LocalFirewall // the OUTPUT firewall refuses the packet
	ReasonNoBuffers     Reason = match.NoBuffers     // the interface or the neighbour table is full
	ReasonLinkDown      Reason = match.LinkDown      // the interface lost its carrier, went down or away
	ReasonOutOfScope    Reason = match.OutOfScope    // the target is not among the allowed prefixes
	ReasonNoSource      Reason = match.NoSource      // no source address of the target's family
	ReasonOverload      Reason = match.Overload      // no turn before the timeout: no slot, source port or place in the rate came free
	ReasonSendFailed    Reason = match.SendFailed    // any other errno, which is in Result.Err
	ReasonConnectFailed Reason = match.ConnectFailed // connect(2) got no socket
	ReasonOwnLoss       Reason = match.LossOfOurs    // our receive ring dropped packets while the probe was pending, until its timeout
)
