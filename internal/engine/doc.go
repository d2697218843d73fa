// Package engine joins segments (craft), pending probes (match) and a wire into probing: it sends SYNs by plan, recognises
// what answers, resets what it opened, and gives every target exactly one verdict.
//
// A [Shard] is one pending table per address family, some source ports, and a wire of its own. It has one owner at a time and
// no locks. Two things own shards: a [Front], where many callers wait for one verdict each and whoever has a turn moves the
// packets of all; and the loop of a scan, which feeds a shard as fast as it goes.
package engine
