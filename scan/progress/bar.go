package progress

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rawshake/rawshake/match"
)

const (
	minBar       = 10 // columns between the brackets
	maxBar       = 40
	defaultWidth = 80
)

// piece is one part of the line. The larger weight stays when the terminal is too narrow for all.
type piece struct {
	text   string
	weight int
	color  string
}

const (
	green = "\x1b[32m"
	red   = "\x1b[31m"
	reset = "\x1b[0m"
)

// Bar returns one line without a line feed for a terminal of width columns (if zero, 80), of which it leaves the last one
// free. What does not fit goes away, the least important first.
func Bar(v View, width int, color bool) string {
	if width <= 0 {
		width = defaultWidth
	}
	room := width - 1
	head := ""
	if v.Total > 0 {
		head = fmt.Sprintf("%5s%%", percent(v.Done(), v.Total)) + gap
		room -= len(head)
	}
	kept, used := fit(pieces(v), room)
	if len(kept) > 0 && kept[0].weight == barWeight {
		kept[0].text = "[" + fill(v.Done(), v.Total, min(minBar+room-used, maxBar)) + "]"
	}
	return head + join(kept, color)
}

// barWeight is the importance of the bar itself, which is the first piece: the counts go before it.
const barWeight = 65

// pieces lists what the line may say, in order.
func pieces(v View) []piece {
	var list []piece
	count := steady(float64(v.Done()))
	if v.Total > 0 {
		list = append(list, piece{strings.Repeat(" ", minBar+len("[]")), barWeight, ""})
		count += "/" + short(float64(v.Total))
	}
	list = append(list, piece{count, 60, ""}, piece{steady(v.Rate) + "/s", 90, ""})
	for i, s := range shown {
		if n := v.Verdicts[s]; n > 0 || s == match.Open {
			p := piece{fmt.Sprintf("%v %s", s, steady(float64(n))), 50 - i, ""}
			if s == match.Open {
				p.weight, p.color = 80, green
			}
			list = append(list, p)
		}
	}
	list = append(list, trouble("drops", v.RingDrops, 55))
	if v.SendErrors > 0 {
		list = append(list, trouble("send errors", v.SendErrors, 0))
	}
	if v.Total > 0 {
		list = append(list, piece{fmt.Sprintf("ETA %6s", left(v.Left)), 70, ""})
	}
	if v.Note != "" {
		list = append(list, piece{v.Note, 75, red})
	}
	return list
}

// trouble is a number that should be zero: it may go when it is, and stays when it is not.
func trouble(name string, n uint64, weight int) piece {
	if n == 0 {
		return piece{name + " 0", weight, ""}
	}
	return piece{name + " " + steady(float64(n)), 85, red}
}

// steady is a number that takes the same room while it grows, so that what stands behind it does not move.
func steady(x float64) string { return fmt.Sprintf("%5s", short(x)) }

// gap is between two pieces.
const gap = "  "

// fit leaves away the lightest pieces until the rest has room, and returns the columns that they take.
func fit(pieces []piece, room int) (kept []piece, used int) {
	kept = slices.Clone(pieces)
	for {
		used = max(0, len(gap)*(len(kept)-1))
		for _, p := range kept {
			used += utf8.RuneCountInString(p.text)
		}
		if used <= room || len(kept) == 0 {
			return kept, used
		}
		lightest := slices.MinFunc(kept, func(a, b piece) int { return a.weight - b.weight })
		kept = slices.Delete(kept, slices.Index(kept, lightest), slices.Index(kept, lightest)+1)
	}
}

// fill draws the inside of the bar: "====>     ".
func fill(done, total uint64, width int) string {
	n := min(int(float64(done)/float64(total)*float64(width)), width)
	if n == width && done < total {
		n--
	}
	if n == width {
		return strings.Repeat("=", width)
	}
	return strings.Repeat("=", n) + ">" + strings.Repeat(" ", width-n-1)
}

func join(pieces []piece, color bool) string {
	texts := make([]string, len(pieces))
	for i, p := range pieces {
		texts[i] = p.text
		if color && p.color != "" {
			texts[i] = p.color + p.text + reset
		}
	}
	return strings.Join(texts, gap)
}
