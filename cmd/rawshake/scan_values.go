//go:build linux && !android

package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/scan/filter"
	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/pace"
)

// rate is a flag for packets or bits a second. How many packets those bits are is known with the targets.
type rate string

func (r *rate) String() string { return string(*r) }
func (r *rate) Type() string   { return "rate" }

func (r *rate) Set(text string) error {
	if _, err := pace.ParseRate(text, pace.WireBytes(0)); err != nil {
		return err
	}
	*r = rate(text)
	return nil
}

// bounded is a flag for a number between two others.
type bounded struct{ value, least, most uint64 }

func (n *bounded) String() string { return fmt.Sprint(n.value) }
func (n *bounded) Type() string   { return "number" }

func (n *bounded) Set(text string) error {
	v, err := strconv.ParseUint(text, 0, 64)
	if err != nil || v < n.least || v > n.most {
		return fmt.Errorf("want a number from %d to %d", n.least, n.most)
	}
	n.value = v
	return nil
}

// patience is a flag for how long to wait.
type patience time.Duration

func (p *patience) String() string { return time.Duration(*p).String() }
func (p *patience) Type() string   { return "duration" }

func (p *patience) Set(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return errors.New("want a number with its unit, as in 10s or 5m, or 0")
	}
	*p = patience(v)
	return nil
}

// config is p as a field of a configuration, where zero stands for the default and something negative for none.
func (p patience) config() time.Duration {
	if p == 0 {
		return -1
	}
	return time.Duration(p)
}

// portRange is a flag for ports of ours.
type portRange struct{ rawshake.PortRange }

func (p *portRange) Type() string { return "ports" }

func (p *portRange) String() string {
	if p.PortRange == (rawshake.PortRange{}) {
		return ""
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

func (p *portRange) Set(text string) error {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil || a == 0 || a > b {
		return errors.New("want ports from 1 to 65535, as in 40000-40100")
	}
	p.PortRange = rawshake.PortRange{First: uint16(a), Last: uint16(b)}
	return nil
}

func parseFailOn(list string) (filter.States, error) {
	states, err := filter.ParseStates(list)
	if err != nil {
		_, rest, _ := strings.Cut(err.Error(), ": ")
		return 0, prefixed("--fail-on", errors.New(rest))
	}
	return states, nil
}

// onlyStdout reports whether no output is a file.
func onlyStdout(outputs []output.Spec) bool {
	return !slices.ContainsFunc(outputs, func(s output.Spec) bool { return s.Path != output.Stdout })
}

// prefixed says which flag is wrong.
func prefixed(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", flag, err)
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
