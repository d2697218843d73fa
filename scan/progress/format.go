package progress

import (
	"fmt"
	"strings"
	"time"

	"github.com/rawshake/rawshake/match"
)

// Line returns everything in one line without a line feed, with exact numbers, for a log.
func Line(v View) string {
	var b strings.Builder
	done := v.Done()
	if v.Total > 0 {
		fmt.Fprintf(&b, "%s%%, %d of %d targets done", percent(done, v.Total), done, v.Total)
	} else {
		fmt.Fprintf(&b, "%d targets done", done)
	}
	fmt.Fprintf(&b, ", %d in flight, %.0f SYNs/s;", v.InFlight, v.Rate)
	for i, s := range shown {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %v %d", s, v.Verdicts[s])
	}
	fmt.Fprintf(&b, "; ring drops %d, send errors %d; time left %s", v.RingDrops, v.SendErrors, left(v.Left))
	if v.Note != "" {
		b.WriteString("; " + v.Note)
	}
	return b.String()
}

// shown are the states in the order in which they are shown.
var shown = [...]match.State{match.Open, match.Closed, match.Unreachable, match.Filtered, match.Unsent}

// percent rounds down, so that 100 means all.
func percent(done, total uint64) string {
	tenths := min(uint64(float64(done)/float64(total)*1000), 1000)
	if done < total {
		tenths = min(tenths, 999)
	}
	return fmt.Sprintf("%d.%d", tenths/10, tenths%10)
}

// short writes a number with three digits at least: 999, 1.23k, 12.3k, 123k, 1.23M.
func short(x float64) string {
	const units = " kMGTPE"
	unit := 0
	for x >= 999.5 && unit < len(units)-1 {
		x /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%.0f", x)
	}
	decimals := 2
	switch {
	case x >= 99.95:
		decimals = 0
	case x >= 9.995:
		decimals = 1
	}
	return fmt.Sprintf("%.*f%c", decimals, x, units[unit])
}

// left writes a time to go: 12s, 3m05s, 2h03m, 3d04h, and ? when it is unknown.
func left(d time.Duration) string {
	const day = 24 * time.Hour
	if d < 0 {
		return "?"
	}
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d < 10000*day:
		return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
	}
	return "years"
}
