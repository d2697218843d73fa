package output

import (
	"net/netip"
	"strings"
	"time"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
)

// nmapTime is how nmap writes a time for people.
const nmapTime = time.ANSIC

// nmapReason returns nmap's word for the reason where it has one (portreasons.cc), else ours.
func nmapReason(r *record.Record) string {
	switch r.Reason {
	case match.SYNACK:
		return "syn-ack"
	case match.RST:
		if r.Method == "connect" {
			return "conn-refused"
		}
		return "reset"
	case match.Timeout:
		return "no-response"
	case match.NetUnreachable:
		return "net-unreach"
	case match.HostUnreachable:
		return "host-unreach"
	case match.ProtocolUnreachable:
		return "proto-unreach"
	case match.PortUnreachable:
		return "port-unreach"
	case match.TTLExceeded:
		return "time-exceeded"
	case match.ParameterProblem:
		return "param-problem"
	}
	return r.Reason.String()
}

// nmapPortState returns nmap's word for the state. An ICMP error means filtered there; what was never asked is unknown.
func nmapPortState(s match.State) string {
	switch s {
	case match.Open, match.Closed:
		return s.String()
	case match.Unsent:
		return "unknown"
	}
	return "filtered"
}

// nmapHostState says what the verdict tells about the host: an answer means that it is up, and silence means nothing.
func nmapHostState(r *record.Record) string {
	switch {
	case r.State == match.Open || r.State == match.Closed:
		return "up"
	case r.Reason == match.HostUnreachable || r.Reason == match.NoNeighbour:
		return "down"
	}
	return "unknown"
}

// hostName returns the name that the user wrote for the target, without the port; empty when that was an address.
func hostName(written string) string {
	host := written
	if i := strings.LastIndexByte(written, ':'); i >= 0 {
		host = written[:i]
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ""
	}
	return host
}
