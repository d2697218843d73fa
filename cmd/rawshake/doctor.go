package main

import (
	"context"
	"errors"
	"net/netip"
	"os"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/check"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/doctor"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/term"
	"github.com/rawshake/rawshake/scan/target"
	"github.com/spf13/cobra"
)

// doctorFlags are the flags of `rawshake doctor` as they were written.
type doctorFlags struct {
	json         bool
	color        string
	only4, only6 bool
	source       address
	device       device
}

func newDoctor() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor [flags] [TARGET]",
		Short: "Look for what keeps probes from working here, and name the fix",
		Long: `doctor examines this machine: privileges, the guard that keeps the kernel from answering for us (tried on loopback), source
ports, receive drops, connection tracking, reverse path filters, VRFs, containers. With a TARGET (host or host:port) it looks
at the way there, and a port is probed once. Without a TARGET nothing leaves this machine.

Each finding has a level (ok, info, warn, fail), and the command that mends it or shows more. It runs without any privilege.

Exit codes:
  0  nothing fails
  3  the command line is wrong
  4  something fails`,
		Example: `  rawshake doctor
  rawshake doctor example.net:443
  rawshake doctor --json | jq -r 'select(.level == "fail") | .fix'`,
		Args:              oneTarget,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVarP(&f.only4, "ipv4", "4", false, "IPv4 addresses of names only")
	flags.BoolVarP(&f.only6, "ipv6", "6", false, "IPv6 addresses of names only")
	flags.VarP(&f.source, "source", "S", "source address")
	flags.VarP(&f.device, "interface", "I", "interface to send from")
	flags.BoolVarP(&f.json, "json", "J", false, "findings as JSON lines")
	flags.StringVar(&f.color, "color", "auto", "auto, always or never; NO_COLOR is honoured")
	complete(cmd, "color", term.Modes...)
	completeDevices(cmd, "interface")
	return cmd
}

func oneTarget(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return exit.Usagef("%d TARGETs are given: doctor looks at one, as in `rawshake doctor %s`", len(args), args[0])
	}
	return nil
}

func (f *doctorFlags) run(cmd *cobra.Command, args []string) error {
	subject, err := f.subject(cmd.Context(), args)
	if err != nil {
		return err
	}
	color, err := term.Color(f.color, cmd.OutOrStdout(), os.Getenv)
	if err != nil {
		return err
	}
	code := exit.OK
	for finding := range doctor.Examine(cmd.Context(), subject) {
		line := finding.AppendText(nil, color)
		if f.json {
			line = finding.AppendJSON(nil)
		}
		if _, err := cmd.OutOrStdout().Write(line); err != nil {
			return exit.With(exit.System, err)
		}
		if finding.Fails() {
			code = exit.System
		}
	}
	if signal, ok := exit.BySignal(cmd.Context()); ok {
		code = signal.Code()
	}
	return exit.Quietly(code)
}

// subject reads and resolves the TARGET. A name that does not resolve is a finding.
func (f *doctorFlags) subject(ctx context.Context, args []string) (s doctor.Subject, err error) {
	s = doctor.Subject{Source: f.source.Addr, Interface: f.device.name}
	if len(args) == 0 {
		return s, nil
	}
	s.Name = args[0]
	lookup := check.Lookup{Interface: f.device.name}
	if lookup.Network, lookup.Because, err = addressFamily(f.only4, f.only6, f.source); err != nil {
		return s, err
	}
	lines := []target.Line{check.Argument(s.Name)}
	hosts, err := check.ParseHosts(lines, lookup)
	bare := errors.Is(err, target.ErrNoPorts)
	if bare {
		lookup.Ports, _ = target.ParsePorts("1") // any: it is not used
		hosts, err = check.ParseHosts(lines, lookup)
	}
	if err == nil {
		err = hosts[0].Single()
	}
	if err != nil {
		return s, err
	}
	s.Target, s.Err = hosts[0].First(ctx)
	if bare {
		s.Target = netip.AddrPortFrom(s.Target.Addr(), 0)
	}
	return s, nil
}
