// Package progress shows how far a scan is: a bar on a terminal, a line every ten seconds elsewhere, and a line at once
// when somebody asks.
//
// [Bar] and [Line] are pure: a [View] in, a text out. A [Meter] makes views of the counters, with the rate and the time
// left. A [Reporter] does it over time, and lets log lines pass above the bar.
package progress
