// Package output writes records to files and pipes, several at once and each in its own format, so that nothing is lost
// silently and an interrupted scan can go on where it was.
//
// A [Set] takes records from any goroutine and hands full buffers to one writer per output, so that a slow disk or a
// compressor does not hold up whoever receives packets until some megabytes wait. Each buffer holds whole lines. What
// was written reaches the file at most a second later.
//
// # Durability and resuming
//
// [Set.Mark] is a point in the stream of records: all that was written before it is, once [Mark.Wait] returns, on the
// disk and within the lengths that it returns. A checkpoint keeps these lengths. [Resume] cuts each file to its length
// (a torn last line, or records that were written after the checkpoint and whose targets are asked again, go away
// with that) and appends. A compressed file ends a zstd frame at each mark, so it can be cut there too; concatenated
// frames are one zstd file. What went to a pipe cannot be taken back: there a target that is asked again is seen twice.
//
// # Is it complete?
//
// [Set.Finish] ends each output with a record of the run that says so, but CSV: there each line behind the first is a
// target's. Write another format beside it where that matters.
package output
