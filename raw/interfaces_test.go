//go:build linux && !android

package raw

import (
	"encoding/binary"
	"slices"
	"testing"
)

// The thread's own namespace counts, though /sys here is still that of the machine.
func TestLabInterfaces(t *testing.T) {
	newPeer(t)
	run(t, "ip link add docker0 type bridge")
	all, err := Interfaces()
	check(t, err)
	on := LinkState{Exists: true, Up: true, Carrier: true}
	want := []Interface{
		{Index: 1, Name: "lo", State: on},
		{Index: ifindex(t, "va"), Name: "va", Kind: "veth", State: on},
		{Index: ifindex(t, "docker0"), Name: "docker0", Kind: "bridge", State: LinkState{Exists: true}},
	}
	if !slices.Equal(all, want) {
		t.Errorf("%+v\nwant: %+v", all, want)
	}
}

func TestMissed(t *testing.T) {
	stats := binary.NativeEndian.AppendUint64(make([]byte, 14*8), 3) // rx_fifo_errors
	stats = binary.NativeEndian.AppendUint64(stats, 4)               // rx_missed_errors
	stats = binary.NativeEndian.AppendUint64(stats, 100)             // tx_aborted_errors
	if got := missed(stats); got != 7 {
		t.Errorf("missed %d", got)
	}
	if got := missed(stats[:15*8]); got != 0 {
		t.Errorf("missed %d of counters that end early", got)
	}
}
