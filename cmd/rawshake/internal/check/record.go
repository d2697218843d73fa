package check

import (
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/scan/record"
)

// Record writes a Result down as a record. The name is the target as the user wrote it, with its port; "" for an address.
func Record(r rawshake.Result, name string) record.Record {
	rec := record.Record{
		Time: r.Time, Name: name, Target: r.Target, State: r.State, Reason: r.Reason,
		RTT: r.RTT, Attempt: r.Attempt, Source: r.Source, Method: r.Method.String(),
		TTL: r.Reply.TTL, Window: r.Reply.Window, MSS: r.Reply.MSS, Options: r.Reply.Options(),
		ICMPType: r.Reply.ICMPType, ICMPCode: r.Reply.ICMPCode, Responder: r.Reply.Responder, MTU: r.Reply.MTU,
	}
	if r.Err != nil && r.State != rawshake.Closed { // that a closed port refuses says the state
		rec.Err = r.Err.Error()
	}
	return rec
}

// unresolvedRecord is the record of a target whose name did not resolve.
func unresolvedRecord(name string, err error, now time.Time) record.Record {
	return record.Record{Time: now, Name: name, State: rawshake.Unsent, Err: err.Error()}
}
