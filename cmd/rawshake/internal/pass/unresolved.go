//go:build linux && !android

package pass

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/order"
	"github.com/rawshake/rawshake/scan/record"
	"github.com/rawshake/rawshake/scan/target"
)

// unresolved are the targets whose names have no address: unsent, a target for each name and port. There is nothing to scan, but who
// asked for them finds them in the counts and, with --show unsent, in the outputs.
type unresolved struct {
	names []target.Unresolved // each name once
	shard order.Shard
	count uint64 // of the shard: every n-th, as of the targets that have an address
}

// newUnresolved merges what several lines ask of one name.
func newUnresolved(all []target.Unresolved, shard order.Shard) unresolved {
	u := unresolved{shard: shard}
	at := map[string]int{}
	for _, n := range all {
		i, again := at[n.Name]
		if !again {
			at[n.Name] = len(u.names)
			u.names = append(u.names, n)
			continue
		}
		u.names[i].Ports = u.names[i].Ports.Union(n.Ports)
	}
	var targets uint64
	for _, n := range u.names {
		targets += uint64(n.Ports.Len())
	}
	u.count = shard.Size(targets)
	return u
}

// records calls fn for the record of each target of the shard, until that fails. The record is valid during the call.
func (u unresolved) records(fn func(*record.Record) error) error {
	now := time.Now()
	var position uint64
	for _, n := range u.names {
		for port := range n.Ports.All() {
			before := u.shard.Size(position)
			position++
			if u.shard.Size(position) == before {
				continue
			}
			r := record.Record{
				Time: now, Name: n.Name + ":" + strconv.Itoa(int(port)), Target: netip.AddrPortFrom(netip.Addr{}, port),
				State: match.Unsent, Reason: match.NoName, Err: n.Err.Error(), Label: n.Label,
			}
			if err := fn(&r); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeUnresolved writes the records of targets without an address that pass.
func (r *run) writeUnresolved() error {
	if !r.Show.Has(match.Unsent) {
		return nil
	}
	return r.unresolved.records(func(rec *record.Record) error {
		if !r.Filter.Match(rec) {
			return nil
		}
		return r.outputs.Write([]record.Record{*rec})
	})
}
