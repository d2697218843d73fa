package record

import (
	"net/netip"
	"time"

	"github.com/rawshake/rawshake/match"
)

// Version is the "v" of every JSON line. It grows when a key changes its meaning or goes away, not when one is added.
const Version = 1

// Record is one verdict: what a probe of one target found out. Its zero value is an unsent probe of nothing.
// Copy it freely; the encoders only read it.
type Record struct {
	Time time.Time // of the verdict; if zero, absent

	// Name is the target as the user wrote it, with its port ("www.example.net:443"). If empty, Target says it.
	Name   string
	Target netip.AddrPort // what was asked; without an address (a name that did not resolve), addr is absent

	State  match.State
	Reason match.Reason // if NoReason, absent
	Err    string       // the system's words for an unreachable or unsent probe; if empty, absent

	RTT     time.Duration // wire time of the attempt that was answered; if zero, absent
	Attempt int           // from 0: the attempt that was answered, or the last that was sent; absent when nothing was sent

	// What the answer carried. TTL zero means that there was no answer to look at.
	TTL     uint8
	Window  uint16 // present, zero too, when a segment answered: a SYN-ACK with window 0 is evidence
	MSS     uint16 // if zero, absent
	Options string // the kinds in wire order: "mss,sackok,ts,nop,ws"; if empty, absent

	// What an ICMP error said. Present when one was seen: connect(2) tells of an error, and nothing about it.
	ICMPType, ICMPCode uint8
	Responder          netip.Addr // who sent the error; if invalid, none was seen
	MTU                uint32     // if zero, absent

	Source  netip.AddrPort // ours; if invalid, absent
	Method  string         // "raw" or "connect"; if empty, absent
	Suspect string         // why the answer may be a SYN proxy's or a tarpit's: "window 0, no options"; if empty, absent
	Label   string         // the user's own words about the target; if empty, absent
}

// fieldSet is a set of fields, a bit each.
type fieldSet uint32

func (s fieldSet) has(f Field) bool { return s>>f&1 != 0 }

// add returns the set with f when ok.
func (s fieldSet) add(f Field, ok bool) fieldSet {
	if ok {
		s |= 1 << f
	}
	return s
}

// present returns the fields that apply to the record: the one place that decides it, for every format and filter.
func (r *Record) present() fieldSet {
	asked := r.Target.IsValid()
	segment := r.TTL > 0 && (r.State == match.Open || r.State == match.Closed)
	icmp := r.Reason >= match.NetUnreachable && r.Reason <= match.ICMPOther && r.Responder.IsValid()
	s := fieldSet(1 << FieldState)
	s = s.add(FieldTime, !r.Time.IsZero()).add(FieldTarget, asked || r.Name != "").add(FieldAddr, asked).add(FieldPort, asked || r.Target.Port() > 0)
	s = s.add(FieldReason, r.Reason != match.NoReason).add(FieldError, r.Err != "")
	lookedUp := r.Reason == match.NoRoute || r.Reason == match.NoNeighbour // before an attempt, where there was no source yet, or after one
	sent := r.State != match.Unsent && (!lookedUp || r.Source.IsValid())
	s = s.add(FieldRTT, r.RTT > 0).add(FieldAttempt, sent)
	s = s.add(FieldTTL, r.TTL > 0).add(FieldWindow, segment).add(FieldMSS, r.MSS > 0).add(FieldOptions, r.Options != "")
	s = s.add(FieldICMPType, icmp).add(FieldICMPCode, icmp).add(FieldResponder, icmp)
	s = s.add(FieldMTU, r.MTU > 0).add(FieldSource, r.Source.IsValid()).add(FieldMethod, r.Method != "")
	return s.add(FieldSuspect, r.Suspect != "").add(FieldLabel, r.Label != "")
}
