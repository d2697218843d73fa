package filter

import (
	"fmt"
	"strings"

	"github.com/rawshake/rawshake/match"
)

// States is a set of states; the zero value is empty.
type States uint8

// All holds every state.
const All States = 1<<match.NumStates - 1

// Has reports whether s is in the set.
func (set States) Has(s match.State) bool { return set>>s&1 != 0 }

// String lists the states as [ParseStates] reads them.
func (set States) String() string {
	if set == All {
		return "all"
	}
	var words []string
	for s := range match.NumStates {
		if set.Has(s) {
			words = append(words, s.String())
		}
	}
	return strings.Join(words, ",")
}

// ParseStates reads the value of --show: "all", or states divided by commas.
func ParseStates(list string) (States, error) {
	if strings.TrimSpace(list) == "all" {
		return All, nil
	}
	var set States
	for word := range strings.SplitSeq(list, ",") {
		s, ok := match.ParseState(strings.TrimSpace(word))
		if !ok {
			return 0, fmt.Errorf("--show: no state %q; the states are %s, or all", word, wordList(stateWords()))
		}
		set |= 1 << s
	}
	return set, nil
}

func stateWords() []string {
	words := make([]string, match.NumStates)
	for s := range match.NumStates {
		words[s] = s.String()
	}
	return words
}

// reasonWords lists the reasons by number; NoReason is the empty word.
func reasonWords() []string {
	words := make([]string, match.NumReasons)
	for r := range match.NumReasons {
		words[r] = r.String()
	}
	return words
}

func wordList(words []string) string { return strings.Join(words, ", ") }
