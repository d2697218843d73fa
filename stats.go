package rawshake

// Stats are counters since [New]. Counters only grow; InFlight is a gauge.
type Stats struct {
	SYNSent    uint64 // attempts on the wire
	RSTSent    uint64 // half-open connections that we reset
	Received   uint64 // packets that passed the receive filter
	Answers    uint64 // packets that settled a probe
	Duplicates uint64 // answers to a probe that was settled already
	Ignored    uint64 // packets whose ISN, address, port or quote was not ours
	RingDrops  uint64 // packets that the kernel dropped because the receive ring was full
	SendErrors uint64 // packets that the kernel refused to send
	Requeued   uint64 // extra attempts given because the ring dropped packets
	InFlight   int    // probes pending now

	// Verdicts, by state.
	Open, Closed, Unreachable, Filtered, Unsent uint64
}
