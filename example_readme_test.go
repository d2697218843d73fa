package rawshake_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/rawshake/rawshake"
)

// The bodies of these functions are the blocks of README.md, word for word: TestReadme holds it, and runs them.

func Example_probe() {
	prober, err := rawshake.New(rawshake.Config{Timeout: 2 * time.Second})
	if err != nil {
		log.Fatal(err) // without CAP_NET_RAW the text names the fix
	}
	defer prober.Close()

	result, err := prober.Probe(context.Background(), netip.MustParseAddrPort("127.0.0.1:9"))
	if err != nil {
		log.Fatal(err) // the prober could not do its job; what it finds out is never an error
	}
	switch result.State {
	case rawshake.Open:
		fmt.Println(result.Target, "is open after", result.RTT)
	default:
		fmt.Println(result.Target, "is", result.State, "by", result.Reason)
	}
}

func Example_probeAll() {
	prober, err := rawshake.New(rawshake.Config{Rate: 10_000}) // packets a second
	if err != nil {
		log.Fatal(err)
	}
	defer prober.Close()

	host := netip.MustParseAddr("127.0.0.9")
	targets := func(yield func(netip.AddrPort) bool) {
		for port := uint16(1); port <= 1000; port++ {
			if !yield(netip.AddrPortFrom(host, port)) {
				return
			}
		}
	}
	states := map[rawshake.State]int{}
	for result, err := range prober.ProbeAll(context.Background(), targets) {
		if err != nil {
			log.Fatal(err)
		}
		states[result.State]++ // each target comes out once, in the order of the answers
	}
	fmt.Println(states[rawshake.Open]+states[rawshake.Closed], "ports of", host, "answer")
}
