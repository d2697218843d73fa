package pace

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseRate reads a rate: packets a second as "500", "1.5k", "10M", "500kpps" or "10k/s"; bits a second as
// "100Mbit", "1Gbps" or "800kbit/s"; or "max", which is +Inf. wireBytes is the size of a packet with all that it
// occupies on the wire (see [WireBytes]), by which bits become packets.
func ParseRate(text string, wireBytes int) (float64, error) {
	if text == "max" {
		return math.Inf(1), nil
	}
	digits := len(text) - len(strings.TrimLeft(text, "0123456789."))
	n, err := strconv.ParseFloat(text[:digits], 64)
	if err != nil {
		return 0, rateError(text, "it does not begin with a number")
	}
	if n == 0 {
		return 0, rateError(text, "at a rate of zero nothing is ever sent; max is no limit")
	}
	factor, bits, problem := parseUnit(text[digits:])
	if problem != "" {
		return 0, rateError(text, problem)
	}
	n *= factor
	if bits {
		if wireBytes <= 0 {
			return 0, rateError(text, "bits a second need the size of a packet")
		}
		n /= 8 * float64(wireBytes)
	}
	return n, nil
}

func rateError(text, problem string) error {
	return fmt.Errorf("rate %q: %s: write packets a second as 500, 10k or 1.5M, bits a second as 100Mbit, or max", text, problem)
}

// parseUnit reads what follows the number.
func parseUnit(text string) (factor float64, bits bool, problem string) {
	factor = 1
	unit := text
	if text != "" {
		switch text[0] {
		case 'k', 'K':
			factor, unit = 1e3, text[1:]
		case 'M':
			factor, unit = 1e6, text[1:]
		case 'G':
			factor, unit = 1e9, text[1:]
		case 'm':
			return 0, false, "a million is a capital M"
		}
	}
	switch unit {
	case "", "pps", "/s":
		return factor, false, ""
	case "bit", "bps", "bit/s":
		return factor, true, ""
	case "B", "Bps", "B/s":
		return 0, false, "bytes a second are not understood, eight bits are a byte"
	}
	return 0, false, fmt.Sprintf("%q is not a unit", text)
}

// FormatRate returns a rate in packets a second as [ParseRate] reads it, with at most three digits after the point:
// "500", "1.5k", "10M", "max".
func FormatRate(rate float64) string {
	switch {
	case math.IsInf(rate, 1):
		return "max"
	case rate >= 1e9:
		return digits(rate/1e9) + "G"
	case rate >= 1e6:
		return digits(rate/1e6) + "M"
	case rate >= 1e3:
		return digits(rate/1e3) + "k"
	}
	return digits(rate)
}

func digits(x float64) string {
	return strconv.FormatFloat(math.Round(x*1e3)/1e3, 'f', -1, 64)
}

// WireBytes returns what an IP packet of some bytes occupies on an Ethernet: the header of 14 bytes and the check
// sequence of 4, padded to 64 (IEEE 802.3 clause 4A.4.2), and preamble and gap, 20.
func WireBytes(packet int) int {
	return max(64, packet+14+4) + 20
}
