// Package scan asks many endpoints once each: one pass in a keyed random order, at a steady rate, with one verdict for every
// target and memory that does not grow with their number.
//
// A [Scan] is made of lanes. Each lane is an engine shard with sockets, source ports and a receive ring of its own, and takes
// its own share of the order, so that lanes share nothing but the rates while they run. What they find out comes together in [Scan.Run],
// or as a sequence in [Scan.Results].
//
// The packages below this one are its parts and know nothing of sockets: target (what to ask), order (in which order), pace
// (how fast), record, output, filter, checkpoint and progress (what is written down and shown).
package scan
