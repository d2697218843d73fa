//go:build linux && !android

package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rawshake/rawshake/scan/filter"
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

func parseFailOn(list string) (filter.States, error) {
	states, err := filter.ParseStates(list)
	if err != nil {
		_, rest, _ := strings.Cut(err.Error(), ": ")
		return 0, prefixed("--fail-on", errors.New(rest))
	}
	return states, nil
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
