//go:build linux && !android

package scan

import (
	"testing"

	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// An open port with the signs of a SYN proxy or a tarpit is marked, by what its answer carried; a closed one, whose RST has neither
// window nor options, is not.
func TestSuspect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		want := map[uint16]string{1: "", 2: "window 0", 3: "no options", 4: "window 0, no options", 5: ""}
		w := silently()
		w.host = func(pkt []byte) []wiretest.Packet {
			syn, _ := wiretest.Parse(pkt)
			if !syn.SYN {
				return nil
			}
			answer := syn.SYNACK()
			switch syn.To.Port() {
			case 2:
				answer.Window = 0
			case 3:
				answer.MSS = 0
			case 4:
				answer.Window, answer.MSS = 0, 0
			case 5:
				answer = syn.Refusal()
			}
			return []wiretest.Packet{{Data: answer.Bytes()}}
		}
		s := start(t, Config{Targets: space(t, "1-6", "198.18.0.1", "2001:db8:1::1")}, w)
		n := 0
		for r, err := range s.Results(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; r.Suspect != want[r.Target.Port()] || (r.State == match.Closed) != (r.Target.Port() == 5) {
				t.Errorf("%v is %v, suspect %q, want %q", r.Target, r.State, r.Suspect, want[r.Target.Port()])
			}
		}
		if n != 12 {
			t.Errorf("%d records", n)
		}
	})
}
