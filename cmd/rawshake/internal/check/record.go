package check

import (
	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/match"
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

// record is the record of an outcome that is not an error.
func (o *outcome) record() record.Record {
	rec := record.Record{Time: now(), Name: o.name, Target: o.target, State: rawshake.Unsent, Reason: match.NoName}
	if o.dns == nil {
		rec = Record(o.result, o.name)
	} else {
		rec.Err = o.dns.Error()
	}
	rec.Label = o.label
	return rec
}
