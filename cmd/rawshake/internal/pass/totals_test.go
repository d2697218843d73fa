//go:build linux && !android

package pass

import (
	"encoding/json"
	"testing"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan"
	"github.com/rawshake/rawshake/scan/record"
)

// TestReasonsGoOn: a checkpoint keeps why targets are unreachable or unsent. Names without an address are counted by who goes on.
func TestReasonsGoOn(t *testing.T) {
	var before scan.Reasons
	before[match.Unreachable][match.NoRoute] = 3
	before[match.Unreachable][match.HostUnreachable] = 1 << 40
	before[match.Unsent][match.LinkDown] = 250
	r := &run{unresolved: unresolved{count: 2}}
	text, err := json.Marshal(record.Run{Reasons: r.reasons(before)})
	if err != nil {
		t.Fatal(err)
	}
	var kept record.Run
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	if got := kept.Reasons["unsent"][match.NoName.String()]; got != 2 {
		t.Errorf("%d names without an address", got)
	}
	if got := countReasons(kept.Reasons); got != before {
		t.Errorf("%v of %s", got, text)
	}
}
