package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rawshake/rawshake"
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

const sourcePortsHelp = "ports to send from, as in 40000-40100; the kernel chooses if not given"

// styles are the values of --syn-options.
var styles = []string{"mss", "linux", "windows", "bsd", "none"}

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

// addressFamily chooses the addresses of names: what -4 or -6 asks for, or what can be reached from the address of -S. It also returns the
// flag that says so.
func addressFamily(only4, only6 bool, source address) (network, because string, err error) {
	six := source.Unmap().Is6()
	switch {
	case only4 && only6:
		return "", "", errBothFamilies
	case source.IsValid() && (only4 && six || only6 && !six):
		return "", "", exit.Usagef("-S %v and %s exclude each other: leave one of them out", source.Addr, map[bool]string{true: "-4", false: "-6"}[only4])
	case only4:
		return "ip4", "-4", nil
	case only6:
		return "ip6", "-6", nil
	case source.IsValid() && six:
		return "ip6", "-S", nil
	case source.IsValid():
		return "ip4", "-S", nil
	}
	return "ip", "", nil
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
