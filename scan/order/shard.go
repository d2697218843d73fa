package order

import (
	"fmt"
	"strconv"
	"strings"
)

// Shard is part I of N of a scan; I counts from 1. The zero value is the whole, 1/1.
type Shard struct{ I, N uint64 }

// ParseShard reads "2/5".
func ParseShard(text string) (Shard, error) {
	part, of, ok := strings.Cut(text, "/")
	i, err1 := strconv.ParseUint(part, 10, 64)
	n, err2 := strconv.ParseUint(of, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return Shard{}, fmt.Errorf("shard %q: write the part and the number of parts, as in 2/5", text)
	}
	s := Shard{i, n}
	if err := s.check(); i == 0 || err != nil {
		return Shard{}, fmt.Errorf("shard %q: there is no part %d of %d: parts count from 1", text, i, n)
	}
	return s, nil
}

// String returns the form that [ParseShard] reads.
func (s Shard) String() string {
	s = s.orWhole()
	return fmt.Sprintf("%d/%d", s.I, s.N)
}

func (s Shard) orWhole() Shard {
	if s == (Shard{}) {
		return Shard{1, 1}
	}
	return s
}

func (s Shard) check() error {
	if s = s.orWhole(); s.I < 1 || s.I > s.N {
		return fmt.Errorf("shard %d/%d: there is no such part: parts count from 1", s.I, s.N)
	}
	return nil
}

// Size returns how many of n positions the shard has: the shards of one N together have n, and no two differ by
// more than one.
func (s Shard) Size(n uint64) uint64 {
	s = s.orWhole()
	if n < s.I {
		return 0
	}
	return (n-s.I)/s.N + 1
}

// position returns the position, in the whole order, of number k of the shard.
func (s Shard) position(k uint64) uint64 { return s.I - 1 + k*s.N }
