package main

import (
	"errors"
	"math/rand/v2"
	"strconv"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/scan/order"
	"github.com/rawshake/rawshake/scan/target"
	"github.com/spf13/cobra"
)

// targetsHelp says how targets are written, for the commands that take many.
const targetsHelp = `A TARGET is an address, a prefix (10.0.0.0/8), a range (10.0.0.1-10.0.1.9, 10.0.0.1-9) or a name,
IPv4 and IPv6 mixed, and may carry a port or ports: 10.0.0.1:443, [2001:db8::/112]:80,
example.net:8000-8100. The others have the ports of -p. A TARGET "-", like -f -, is standard input.
A file has a target a line; # begins a comment; what stands behind the target, after a blank or a
comma, is its label and goes to its records. Names are resolved once; several that share an address
are one target, and its records have the first in the alphabet. Addresses that no service can have
(multicast, broadcast, 0.0.0.0/8, 240.0.0.0/4) are left out of wider targets.`

// portsHelp says what -p takes.
const portsHelp = "ports of targets that name none, as in 22,80,8000-8100; -1024, 60000- and - (every port) have open ends"

var errStdinTwice = exit.Usagef("standard input (-) is named twice: it can be read once")

// targetFlags are the flags that say which targets, and in which order.
type targetFlags struct {
	ports        string
	files        []string
	exclude      []string
	excludeFiles []string
	scope        string
	allAddresses bool
	only4, only6 bool
	seed         uint64
	seedSet      bool
	shard        shard
}

func (f *targetFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.ports, "ports", "p", "", portsHelp)
	flags.StringArrayVarP(&f.files, "file", "f", nil, "file with a target a line, - for standard input; may be given again")
	flags.StringArrayVar(&f.exclude, "exclude", nil, "target that is left out; may be given again")
	flags.StringArrayVar(&f.excludeFiles, "exclude-file", nil, "file of targets that are left out; may be given again")
	flags.StringVar(&f.scope, "scope", "", "file of the only addresses and ranges that may ever be sent to")
	flags.BoolVar(&f.allAddresses, "all-addresses", false, "take every address of a name, not the first alone")
	flags.BoolVarP(&f.only4, "ipv4", "4", false, "IPv4 only: IPv6 targets are left out")
	flags.BoolVarP(&f.only6, "ipv6", "6", false, "IPv6 only: IPv4 targets are left out")
	flags.Var((*seed)(&f.seed), "seed", "number that gives the order; a random one if it is not given")
	flags.Var(&f.shard, "shard", "scan only part i of n, i from 1, as in 2/5; every part wants the same targets, names resolved alike, and --seed")
}

// input turns the flags into an Input.
func (f *targetFlags) input(cmd *cobra.Command, args []string) (in targets.Input, err error) {
	in = targets.Input{
		Args: args, Files: f.files, Exclude: f.exclude, ExcludeFiles: f.excludeFiles, Scope: f.scope,
		Network: network(f.only4, f.only6), AllAddresses: f.allAddresses, Stdin: cmd.InOrStdin(),
	}
	switch {
	case len(args) == 0 && len(f.files) == 0:
		return in, exit.Usagef("no TARGET is given: write targets such as 10.0.0.0/24, or a file of them as -f FILE")
	case f.only4 && f.only6:
		return in, errBothFamilies
	case in.StdinTwice():
		return in, errStdinTwice
	case f.ports == "":
		return in, nil
	}
	if in.Ports, err = target.ParsePorts(f.ports); err != nil {
		return in, exit.Usagef("-p %w", err)
	}
	return in, nil
}

// order is the order in which the targets are gone through. A random seed is below 2^53, which every reader of JSON keeps whole.
func (f *targetFlags) order(cmd *cobra.Command) targets.Order {
	f.seedSet = cmd.Flags().Changed("seed")
	if !f.seedSet {
		f.seed = rand.Uint64N(1 << 53)
	}
	return targets.Order{Seed: f.seed, Shard: f.shard.Shard}
}

// fits fails for a shard whose companions would be of another order.
func (f *targetFlags) fits(cmd *cobra.Command) error {
	if f.shard.N > 1 && !cmd.Flags().Changed("seed") {
		return exit.Usagef("--shard %v goes with --seed: the parts of a scan fit together only in one and the same order", f.shard)
	}
	return nil
}

// seed is a flag for the number of an order.
type seed uint64

func (s *seed) String() string { return strconv.FormatUint(uint64(*s), 10) }
func (s *seed) Type() string   { return "number" }

func (s *seed) Set(text string) error {
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return errors.New("want a number from 0 to 2^64-1")
	}
	*s = seed(n)
	return nil
}

// shard is a flag for a part of a scan.
type shard struct{ order.Shard }

func (s *shard) Type() string { return "i/n" }

func (s *shard) Set(text string) (err error) {
	s.Shard, err = order.ParseShard(text)
	return err
}
