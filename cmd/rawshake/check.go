package main

import (
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/check"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/term"
	"github.com/rawshake/rawshake/scan/target"
	"github.com/spf13/cobra"
)

// checkFlags are the flags of `rawshake check` as they were written.
type checkFlags struct {
	ports              string
	count              atLeast
	period             positive
	parallel           atLeast
	timeout            positive
	attempts           atLeast
	only4, only6       bool
	allAddresses       bool
	source             address
	device             device
	method             string
	ethernet           bool
	trace              bool
	pcap               string
	json, quiet        bool
	color              string
	periodSet, pcapSet bool
}

func newCheck() *cobra.Command {
	f := checkFlags{
		count:    atLeast{value: 1, least: 0},
		period:   positive(time.Second),
		parallel: atLeast{value: 256, least: 1},
		timeout:  positive(rawshake.DefaultTimeout),
		attempts: atLeast{least: 0},
	}
	cmd := &cobra.Command{
		Use:   "check [flags] TARGET...",
		Short: "Probe a few endpoints and print a verdict for each",
		Long: `check probes each TARGET and prints its verdict: open (a SYN-ACK answered), closed (a RST), unreachable (an ICMP error, or
no route), filtered (silence), unsent (this machine could not send; it says nothing about the target).

TARGET is host:port, [v6]:port, or a host whose ports are given with -p; a host is an address, a name, a prefix or a range.
A name is probed at its first address, or with --all-addresses at each. Verdicts are printed as they come. They are the
data and go to stdout; all else goes to stderr, the figures of -c too (with -J they are records on stdout).

With -c a target counts as open when one of its probes found it so, as with fping and ping.

` + exitCodes,
		Example: `  rawshake check example.net:443 192.0.2.1:22 '[2001:db8::1]:443'
  rawshake check -p 22,80,8000-8100 gateway.example.net
  rawshake check -c 10 --period 200ms example.net:443      ten probes, with min/avg/max/mdev and loss
  rawshake check -c 0 example.net:443                      until Ctrl-C
  rawshake check -J -p 443 host1 host2 | jq -r 'select(.state != "open") | .target'
  rawshake check --trace --pcap syn.pcapng 192.0.2.1:443   see every packet, and keep it for Wireshark
  rawshake check -q example.net:443 && echo up             the exit code says it all`,
		Args: targetsNeeded,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.periodSet = cmd.Flags().Changed("period")
			f.pcapSet = cmd.Flags().Changed("pcap")
			o, err := f.options(cmd, args)
			if err != nil {
				return err
			}
			return check.Run(cmd.Context(), o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.register(cmd)
	return cmd
}

func targetsNeeded(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return exit.Usagef("no TARGET is given: write one as host:port, as in `rawshake check example.net:443`")
	}
	return nil
}

func (f *checkFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.ports, "ports", "p", "", "ports of targets that name none, as in 22,80,8000-8100")
	flags.VarP(&f.count, "count", "c", "probes of each target; 0: until interrupted")
	flags.Var(&f.period, "period", "time between two probes of a target")
	flags.Var(&f.parallel, "parallel", "most probes at once")
	flags.VarP(&f.timeout, "timeout", "t", "time for a target to answer, from the first SYN on")
	flags.Var(&f.attempts, "attempts", "most SYNs of a probe, at 0, 1, 2 s ...; 0: as the timeout has room for")
	flags.BoolVarP(&f.only4, "ipv4", "4", false, "IPv4 addresses of names only")
	flags.BoolVarP(&f.only6, "ipv6", "6", false, "IPv6 addresses of names only")
	flags.BoolVar(&f.allAddresses, "all-addresses", false, "probe every address of a name, not the first alone")
	flags.VarP(&f.source, "source", "S", "source address")
	flags.VarP(&f.device, "interface", "I", "interface to send from")
	flags.StringVar(&f.method, "method", "raw", "raw, connect (completes handshakes), or auto: raw where the privilege is there")
	flags.BoolVar(&f.ethernet, "send-eth", false, "send whole frames, past this host's OUTPUT firewall and address translation: faster")
	flags.BoolVar(&f.trace, "trace", false, "show each packet sent and received on stderr")
	flags.StringVar(&f.pcap, "pcap", "", "write the packets sent and received to this pcapng file")
	flags.BoolVarP(&f.json, "json", "J", false, "JSON lines")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no verdicts: the exit code says it, and with -c the figures")
	flags.StringVar(&f.color, "color", "auto", "auto, always or never; NO_COLOR is honoured")
	complete(cmd, "method", "raw", "connect", "auto")
	complete(cmd, "color", term.Modes...)
	completeDevices(cmd, "interface")
	must(cmd.MarkFlagFilename("pcap", "pcapng"))
}

// options turns the flags into what a check does; what is wrong with them is an error of usage.
func (f *checkFlags) options(cmd *cobra.Command, args []string) (o check.Options, err error) {
	if err := f.contradiction(); err != nil {
		return o, err
	}
	o = check.Options{
		Count: f.count.value, Period: time.Duration(f.period), Parallel: f.parallel.value,
		JSON: f.json, Quiet: f.quiet, Trace: f.trace, Pcap: f.pcap,
		Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
	}
	if o.Probe, err = f.probe(cmd); err != nil {
		return o, err
	}
	if o.Color, err = term.Color(f.color, o.Stdout, os.Getenv); err != nil {
		return o, err
	}
	lookup, err := f.lookup()
	if err != nil {
		return o, err
	}
	o.Hosts, err = check.ParseHosts(args, lookup)
	return o, err
}

// contradiction finds flags that do not go together.
func (f *checkFlags) contradiction() error {
	switch {
	case f.only4 && f.only6:
		return errBothFamilies
	case f.periodSet && f.count.value == 1:
		return exit.Usagef("--period goes with -c: say how many probes, as in -c 10 --period 200ms")
	case f.pcapSet && strings.TrimLeft(f.pcap, "-") == "":
		return exit.Usagef("--pcap %q: want the name of a file; stdout is for the verdicts", f.pcap)
	case f.method == "connect" && (f.trace || f.pcapSet):
		return exit.Usagef("--trace and --pcap show crafted packets, and --method connect sends none: use --method raw")
	case f.method == "connect" && f.ethernet:
		return exit.Usagef("--send-eth is for crafted packets, and --method connect sends none: use --method raw")
	}
	return nil
}

// probe is how to probe.
func (f *checkFlags) probe(cmd *cobra.Command) (c rawshake.Config, err error) {
	if f.attempts.value > rawshake.MaxAttempts {
		return c, exit.Usagef("--attempts %d: want at most %d", f.attempts.value, rawshake.MaxAttempts)
	}
	c = rawshake.Config{
		Timeout: time.Duration(f.timeout), Attempts: f.attempts.value,
		Source: f.source.Addr, Interface: f.device.name, MaxInFlight: f.parallel.value,
		Logger: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if f.ethernet {
		c.Layer = rawshake.LayerEthernet
	}
	if c.Method, err = rawshake.ParseMethod(f.method); err != nil {
		return c, exit.Usagef("--%w", err)
	}
	return c, nil
}

// lookup is how TARGETs become endpoints.
func (f *checkFlags) lookup() (l check.Lookup, err error) {
	l = check.Lookup{Network: network(f.only4, f.only6), AllAddresses: f.allAddresses, Interface: f.device.name}
	if f.ports == "" {
		return l, nil
	}
	if l.Ports, err = target.ParsePorts(f.ports); err != nil {
		return l, exit.Usagef("-p %w", err)
	}
	return l, nil
}
