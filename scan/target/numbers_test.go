package target

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// roundTrip packs numbers, reads them back and fails when they are others.
func roundTrip(t testing.TB, n Numbers) (packed []byte) {
	t.Helper()
	want := slices.Sorted(slices.Values(n))
	packed, err := n.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var got Numbers
	if err := got.UnmarshalText(packed); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	return packed
}

func TestNumbers(t *testing.T) {
	for _, n := range []Numbers{
		nil,
		{0},
		{math.MaxUint64, 0},
		{7, 1 << 48, 7, 3}, // twice stays twice
	} {
		roundTrip(t, n)
	}
}

func TestNumbersDamaged(t *testing.T) {
	for what, text := range map[string]string{
		"nothing":               "",
		"no base64":             "?",
		"half a number":         "gA==",
		"fewer than it says":    "AgE=",
		"more than it says":     "AQEB",
		"far fewer":             "//////////8B",
		"half a number at last": "AYA=",
		"above the largest":     "AgH///////////8B",
	} {
		n := Numbers{5}
		if err := n.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%s: no error, but %v", what, n)
		} else if !slices.Equal(n, Numbers{5}) {
			t.Errorf("%s: the list became %v", what, n)
		}
	}
}

func randomNumbers(r *rand.Rand, n int, below uint64) Numbers {
	var numbers Numbers
	for range n {
		numbers = append(numbers, r.Uint64N(below))
	}
	return numbers
}

// TestNumbersSize holds the promise of the docs.
func TestNumbersSize(t *testing.T) {
	const million = 1 << 20
	if n := len(roundTrip(t, randomNumbers(rand.New(rand.NewPCG(5, 6)), million, 1<<24))); n > 1.5*million {
		t.Errorf("a million take %d bytes", n)
	}
}

// FuzzNumbers: no text panics or takes more memory than its length allows, and what is read packs to the same again.
func FuzzNumbers(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, n := range []Numbers{nil, randomNumbers(r, 3, 100), randomNumbers(r, 3, 1<<60)} {
		packed, err := n.MarshalText()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Add([]byte("//////////8B"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var n Numbers
		if n.UnmarshalText(text) != nil {
			return
		}
		if len(n) > len(text) {
			t.Fatalf("%d numbers from %d bytes", len(n), len(text))
		}
		roundTrip(t, n)
	})
}
