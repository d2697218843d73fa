// Package doctor looks for what keeps half-open probes from working on this machine, and names the command that mends it.
//
// An examination is two functions: one collects facts, the other, pure, turns them into findings.
package doctor

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Level says how bad a finding is.
type Level uint8

// The levels.
const (
	OK   Level = iota // works
	Info              // worth knowing
	Warn              // works, but may mislead
	Fail              // does not work
)

var levelNames = [...]string{"ok", "info", "warn", "fail"}

// String returns "ok", "info", "warn" or "fail".
func (l Level) String() string { return levelNames[l] }

var levelColors = [...]string{"\x1b[32m", "\x1b[36m", "\x1b[33m", "\x1b[31m"}

// Finding is what an examination found.
type Finding struct {
	Check string // the examination: "privilege", "guard" ...
	Level Level
	Text  string // a sentence
	Fix   string // a command or setting that mends it, or shows more; "" when there is nothing to mend
}

// Fails reports whether something does not work.
func (f Finding) Fails() bool { return f.Level == Fail }

// AppendText appends the finding for people: a line, and the fix on a line of its own, ready to be pasted.
func (f Finding) AppendText(dst []byte, color bool) []byte {
	word := fmt.Sprintf("%-4s", f.Level)
	if color {
		word = levelColors[f.Level] + word + "\x1b[0m"
	}
	dst = fmt.Appendf(dst, "%s  %-10s  %s\n", word, f.Check, f.Text)
	if f.Fix != "" {
		dst = fmt.Appendf(dst, "%18s%s\n", "", f.Fix)
	}
	return dst
}

// AppendJSON appends the finding as one JSON object of type "finding" with a line feed.
func (f Finding) AppendJSON(dst []byte) []byte {
	b, _ := json.Marshal(struct { // strings and numbers only: it cannot fail
		V     int    `json:"v"`
		Type  string `json:"type"`
		Check string `json:"check"`
		Level string `json:"level"`
		Text  string `json:"text"`
		Fix   string `json:"fix,omitempty"`
	}{1, "finding", f.Check, f.Level.String(), f.Text, f.Fix})
	return append(append(dst, b...), '\n')
}

// SplitFix splits a fix of the form "command (or another way)", so that the command can be pasted alone.
func SplitFix(fix string) (command, other string) {
	command, other, ok := strings.Cut(fix, " (or ")
	if !ok {
		return fix, ""
	}
	return command, strings.TrimSuffix(other, ")")
}
