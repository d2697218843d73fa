package pace_test

import (
	"math"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/scan/pace"
)

func TestParseRate(t *testing.T) {
	for _, test := range []struct {
		text string
		want float64
	}{
		{"1", 1}, {"500", 500}, {"0.5", 0.5}, {".5", 0.5}, {"1.5k", 1500}, {"500k", 500_000}, {"500K", 500_000}, {"10M", 1e7},
		{"1G", 1e9}, {"500kpps", 500_000}, {"20pps", 20}, {"10k/s", 10_000}, {"20/s", 20}, {"max", math.Inf(1)},
		// An 84-byte slot is 672 bits.
		{"672bps", 1}, {"672bit", 1}, {"672bit/s", 1}, {"67.2kbit", 100}, {"1Gbps", 1e9 / 672}, {"100Mbit", 1e8 / 672}, {"1Mbit/s", 1e6 / 672},
	} {
		if got, err := pace.ParseRate(test.text, 84); err != nil || math.Abs(got-test.want) > 1e-9*test.want {
			t.Errorf("%q: %g, %v, want %g", test.text, got, err, test.want)
		}
	}
}

func TestBrokenRates(t *testing.T) {
	for text, want := range map[string]string{
		"":        "it does not begin with a number",
		"k":       "it does not begin with a number",
		"-5":      "it does not begin with a number",
		"1.2.3":   "it does not begin with a number",
		".":       "it does not begin with a number",
		"fast":    "it does not begin with a number",
		"0":       "at a rate of zero nothing is ever sent; max is no limit",
		"0.0k":    "at a rate of zero nothing is ever sent",
		"10m":     "a million is a capital M",
		"10MB/s":  "bytes a second are not understood",
		"10MBps":  "bytes a second are not understood",
		"10 k":    `" k" is not a unit`,
		"10kk":    `"kk" is not a unit`,
		"1e6":     `"e6" is not a unit`,
		"10k/min": `"k/min" is not a unit`,
		"Max":     "it does not begin with a number",
	} {
		_, err := pace.ParseRate(text, 84)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "write packets a second as 500, 10k or 1.5M") {
			t.Errorf("%q: error %v, want: %s", text, err, want)
		}
	}
	if _, err := pace.ParseRate("1Gbps", 0); err == nil || !strings.Contains(err.Error(), "need the size of a packet") {
		t.Errorf("bits without a size: %v", err)
	}
}

func TestFormatRate(t *testing.T) {
	for rate, want := range map[float64]string{
		1: "1", 0.5: "0.5", 999: "999", 1000: "1k", 1500: "1.5k", 500_000: "500k", 1e7: "10M", 1.488e6: "1.488M", 2e9: "2G",
		1e6 / 672: "1.488k", math.Inf(1): "max",
	} {
		if got := pace.FormatRate(rate); got != want {
			t.Errorf("%g: %s, want %s", rate, got, want)
		}
	}
}

func TestWireBytes(t *testing.T) {
	// An MSS-only SYN is 44 bytes and padded; one with Linux's options has 60, and its frame 78.
	for packet, want := range map[int]int{40: 84, 44: 84, 46: 84, 47: 85, 60: 98, 80: 118} {
		if got := pace.WireBytes(packet); got != want {
			t.Errorf("a packet of %d bytes occupies %d, want %d", packet, got, want)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	f.Add("1.5Mbit/s")
	f.Fuzz(func(t *testing.T, text string) {
		rate, err := pace.ParseRate(text, 84)
		if err != nil {
			return
		}
		if !(rate > 0) {
			t.Errorf("%q is %g", text, rate)
		}
		if again, err := pace.ParseRate(pace.FormatRate(rate), 84); rate >= 0.001 && (err != nil || math.Abs(again-rate) > 0.001*rate+0.001) {
			t.Errorf("%q is %g and reads again as %g, %v", text, rate, again, err)
		}
	})
}
