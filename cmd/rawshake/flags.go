package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/spf13/cobra"
)

// positive is a flag for a duration above zero.
type positive time.Duration

func (d *positive) String() string { return time.Duration(*d).String() }
func (d *positive) Type() string   { return "duration" }

func (d *positive) Set(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil || v <= 0 {
		return errors.New("want a number above zero with its unit, as in 500ms or 2s")
	}
	*d = positive(v)
	return nil
}

// atLeast is a flag for a number with a lower bound.
type atLeast struct{ value, least int }

func (n *atLeast) String() string { return fmt.Sprint(n.value) }
func (n *atLeast) Type() string   { return "int" }

func (n *atLeast) Set(text string) error {
	var v int
	if _, err := fmt.Sscanf(text+"\n", "%d\n", &v); err != nil || v < n.least {
		return fmt.Errorf("want a number from %d", n.least)
	}
	n.value = v
	return nil
}

// address is a flag for an IP address.
type address struct{ netip.Addr }

func (a *address) Type() string { return "address" }

func (a *address) String() string {
	if !a.IsValid() {
		return ""
	}
	return a.Addr.String()
}

func (a *address) Set(text string) (err error) {
	if a.Addr, err = netip.ParseAddr(text); err != nil {
		return errors.New("want an IP address of this host")
	}
	return nil
}

// device is a flag for the name of a network interface.
type device struct{ name string }

func (d *device) String() string { return d.name }
func (d *device) Type() string   { return "interface" }

func (d *device) Set(name string) error {
	// Without netlink nobody can tell, and opening the sockets will say what to do about that.
	if _, err := net.InterfaceByName(name); err != nil && !errors.Is(err, syscall.EAFNOSUPPORT) {
		return errors.New("this host has no such interface: `ip link` lists those that it has")
	}
	d.name = name
	return nil
}

var errBothFamilies = exit.Usagef("-4 and -6 exclude each other: leave both out to allow either family")

// network is what the flags -4 and -6 ask of the resolver.
func network(only4, only6 bool) string {
	switch {
	case only4:
		return "ip4"
	case only6:
		return "ip6"
	}
	return "ip"
}

// complete has the shell propose the values of a flag. It fails only for a flag that is not there, which no test would miss.
func complete(cmd *cobra.Command, flag string, values ...string) {
	must(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
}

// completeDevices has the shell propose the names of interfaces.
func completeDevices(cmd *cobra.Command, flag string) {
	must(cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		interfaces, _ := net.Interfaces() // without any there is nothing to propose
		for _, i := range interfaces {
			names = append(names, i.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
