// Package checkpoint keeps how far a scan is in a file, so that a scan that was interrupted in whatever way goes on and
// no target is lost or written down twice.
//
// # What makes it exact
//
// A checkpoint is one moment of the scan: the position of each lane in the order, the targets that were taken and have
// no verdict yet, the counters, and the lengths of the outputs at an [output.Mark] set at that very moment. So each
// target is in exactly one of three places: its record lies within the lengths, it is pending, or the order has yet to
// come to it. To take the moment, keep verdicts back while the lanes are read and the mark is set; wait for the mark
// and save afterwards, while the scan goes on.
//
// A resume first cuts the outputs to the lengths ([output.Resume]), then asks the pending targets, then goes on from
// the positions. What happened after the checkpoint is forgotten: its records are cut, its targets are asked again. That
// is the whole merge; nothing is compared and nothing needs to fit in memory. With SIGINT, SIGTERM or SIGHUP the last moment
// is the present one, and nothing is asked twice. Only what went to a pipe cannot be cut, and may show a target twice.
//
// # The file
//
// It is JSON with a version and a checksum. It is replaced at once or not at all, and is on the disk when [File.Save]
// returns, so a crash leaves either the old or the new one. A [File] is locked (flock(2)) from [Create] or [Open] on, and
// what replaces it is locked before it has its name, so that one program at a time uses a checkpoint.
package checkpoint
