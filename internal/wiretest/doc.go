// Package wiretest is a wire in memory for tests: a host is a function from the packets it gets to the packets it sends, and
// faults (loss, delay, duplicates, reordering, corruption) are wrappers around one. It keeps no clock of its own, so that
// inside testing/synctest every time is exact.
package wiretest
