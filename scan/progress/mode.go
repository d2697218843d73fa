package progress

import (
	"fmt"
	"slices"
)

// Mode is how progress is shown.
type Mode uint8

// The modes.
const (
	Auto    Mode = iota // ModeBar on a terminal, ModeLog elsewhere
	ModeBar             // a line that is drawn again and again
	ModeLog             // a line every ten seconds
	ModeOff             // nothing, but for what is asked for
	numModes
)

var modeNames = [numModes]string{"auto", "bar", "log", "off"}

// String returns the word that [ParseMode] reads.
func (m Mode) String() string { return modeNames[m] }

// ParseMode reads "auto", "bar", "log" or "off".
func ParseMode(word string) (Mode, error) {
	i := slices.Index(modeNames[:], word)
	if i < 0 {
		return 0, fmt.Errorf("--progress: no mode %q; it is one of auto, bar, log, off", word)
	}
	return Mode(i), nil
}

// Resolve decides what Auto means for an output that is a terminal or not. A terminal that cannot go back in its line
// (TERM is "dumb" or empty) gets log lines, also where a bar was asked for.
func (m Mode) Resolve(terminal bool, getenv func(string) string) Mode {
	term := getenv("TERM")
	switch dumb := term == "dumb" || term == ""; {
	case m == ModeBar && dumb, m == Auto && (dumb || !terminal):
		return ModeLog
	case m == Auto:
		return ModeBar
	}
	return m
}
