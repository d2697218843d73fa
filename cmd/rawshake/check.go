package main

import (
	"os"
	"strings"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/check"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/term"
	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/scan/target"
	"github.com/spf13/cobra"
)

// checkFlags are the flags of `rawshake check` as they were written.
type checkFlags struct {
	ports              string
	files              []string
	count              atLeast
	period             positive
	parallel           atLeast
	timeout            positive
	attempts           atLeast
	only4, only6       bool
	allAddresses       bool
	source             address
	device             device
	sourcePorts        portRange
	ttl, tos, mark     bounded
	style              string
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
		ttl:      bounded{value: 64, least: 1, most: 255},
		tos:      bounded{most: 255},
		mark:     bounded{most: 1<<32 - 1},
	}
	cmd := &cobra.Command{
		Use:   "check [flags] TARGET...",
		Short: "Probe a few endpoints and print a verdict for each",
		Long: `check probes each TARGET and prints its verdict: open (a SYN-ACK answered), closed (a RST), unreachable (an ICMP error, or
no route), filtered (silence), unsent (this machine could not send; it says nothing about the target).

TARGET is host:port, [v6]:port, or a host whose ports are given with -p; a host is an address, a name, a prefix or a range.
A name is probed at its first address, or with --all-addresses at each. A TARGET "-", like -f -, is standard input. A file has
a target a line; # begins a comment; what stands behind the target, after a blank or a comma, is its label. Verdicts are
printed as they come. They are the data and go to stdout; all else goes to stderr, the figures of -c too (with -J they are
records on stdout).

A silent target gets a SYN a second within the timeout, each from another port, or --attempts of them: evenly over the
timeout, if it has no room for that many a second apart.

With -c a target counts as open when one of its probes found it so, as with fping and ping. Loss is that of the probes which
have their verdict: those still pending at Ctrl-C are neither answered nor lost. SIGUSR1 or SIGQUIT (Ctrl-\) prints the figures
so far.

` + exitCodes,
		Example: `  rawshake check example.net:443 192.0.2.1:22 '[2001:db8::1]:443'
  rawshake check -p 22,80,8000-8100 gateway.example.net
  rawshake check -p 443 -f hosts.txt                       a target a line
  rawshake check -t 600ms --attempts 3 192.0.2.1:443       three SYNs 200 ms apart, where silence is to be known soon
  rawshake check -c 10 --period 200ms example.net:443      ten probes, with min/avg/max/mdev and loss
  rawshake check -c 0 example.net:443                      until Ctrl-C
  rawshake check -J -p 443 host1 host2 | jq -r 'select(.state != "open") | .target'
  rawshake check --trace --pcap syn.pcapng 192.0.2.1:443   see every packet, and keep it for Wireshark
  rawshake check -q example.net:443 && echo up             the exit code says it all`,
		Args: cobra.ArbitraryArgs,
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

func (f *checkFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.ports, "ports", "p", "", portsHelp)
	flags.StringArrayVarP(&f.files, "file", "f", nil, "file with a target a line, - for standard input; may be given again")
	flags.VarP(&f.count, "count", "c", "probes of each target; 0: until interrupted")
	flags.Var(&f.period, "period", "time between two probes of a target")
	flags.Var(&f.parallel, "parallel", "most probes at once")
	flags.VarP(&f.timeout, "timeout", "t", "time for a target to answer, from the first SYN on")
	flags.Var(&f.attempts, "attempts", "most SYNs to a silent target; 0: as the timeout has room for, a second apart")
	flags.BoolVarP(&f.only4, "ipv4", "4", false, "IPv4 addresses of names only")
	flags.BoolVarP(&f.only6, "ipv6", "6", false, "IPv6 addresses of names only")
	flags.BoolVar(&f.allAddresses, "all-addresses", false, "probe every address of a name, not the first alone")
	flags.VarP(&f.source, "source", "S", "source address")
	flags.VarP(&f.device, "interface", "I", "interface to send from")
	flags.Var(&f.sourcePorts, "source-ports", sourcePortsHelp+"; a target has as many probes on their way at a time")
	flags.Var(&f.ttl, "ttl", "TTL or hop limit of what is sent")
	flags.Var(&f.tos, "tos", "TOS byte or traffic class of what is sent")
	flags.Var(&f.mark, "mark", "mark of what is sent (SO_MARK), for policy routing; 0x may stand before it")
	flags.StringVar(&f.style, "syn-options", craft.MSSOnly.String(), "TCP options of the SYN: mss, linux, windows, bsd, none")
	flags.StringVar(&f.method, "method", "raw", "raw, connect (completes handshakes), or auto: raw where the privilege is there")
	flags.BoolVar(&f.ethernet, "send-eth", false, "send whole frames, past this host's OUTPUT firewall and address translation: faster")
	flags.BoolVar(&f.trace, "trace", false, "show each packet sent and received on stderr")
	flags.StringVar(&f.pcap, "pcap", "", "write the packets sent and received to this pcapng file")
	flags.BoolVarP(&f.json, "json", "J", false, "JSON lines")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no verdicts: the exit code says it, and with -c the figures")
	flags.StringVar(&f.color, "color", "auto", "auto, always or never; NO_COLOR is honoured")
	complete(cmd, "syn-options", styles...)
	complete(cmd, "method", "raw", "connect", "auto")
	complete(cmd, "color", term.Modes...)
	completeDevices(cmd, "interface")
	must(cmd.MarkFlagFilename("pcap", "pcapng"))
	must(cmd.MarkFlagFilename("file"))
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
	o.Hosts, err = f.hosts(cmd, args)
	return o, err
}

// hosts reads the TARGETs.
func (f *checkFlags) hosts(cmd *cobra.Command, args []string) ([]check.Host, error) {
	lookup, err := f.lookup()
	if err != nil {
		return nil, err
	}
	in := targets.Input{Args: args, Files: f.files, Stdin: cmd.InOrStdin()}
	if in.StdinTwice() {
		return nil, errStdinTwice
	}
	lines, err := in.Lines(cmd.Context())
	switch {
	case err != nil:
		return nil, err
	case len(lines) == 0:
		return nil, exit.Usagef("no TARGET is given: write one as host:port, as in `rawshake check example.net:443`, or a file of them as -f FILE")
	}
	return check.ParseHosts(lines, lookup)
}

// contradiction finds flags that do not go together.
func (f *checkFlags) contradiction() error {
	switch {
	case f.periodSet && f.count.value == 1:
		return exit.Usagef("--period goes with -c: say how many probes, as in -c 10 --period 200ms")
	case f.pcapSet && strings.TrimLeft(f.pcap, "-") == "":
		return exit.Usagef("--pcap %q: want the name of a file; stdout is for the verdicts", f.pcap)
	case f.method == "connect" && (f.trace || f.pcapSet):
		return exit.Usagef("--trace and --pcap show crafted packets, and --method connect sends none: use --method raw")
	case f.method == "connect" && f.style != craft.MSSOnly.String():
		return exit.Usagef("--syn-options are those of crafted packets, and --method connect sends none: use --method raw")
	case f.ethernet && f.mark.value != 0:
		return exit.Usagef("--mark is for routing, and --send-eth sends whole frames past it: leave one of them out")
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
		Schedule: f.schedule(), Source: f.source.Addr, Interface: f.device.name, MaxInFlight: f.parallel.value,
		SourcePorts: f.sourcePorts.PortRange, TTL: uint8(f.ttl.value), TOS: uint8(f.tos.value), Mark: uint32(f.mark.value),
		Logger: term.Logger(cmd.ErrOrStderr(), cmd.CommandPath()),
	}
	if c.Options, err = craft.ParseStyle(f.style); err != nil {
		return c, exit.Usagef("--syn-options: %w", err)
	}
	if f.ethernet {
		c.Layer = rawshake.LayerEthernet
	}
	if c.Method, err = rawshake.ParseMethod(f.method); err != nil {
		return c, exit.Usagef("--%w", err)
	}
	return c, nil
}

// schedule spreads --attempts evenly over a timeout that has no room for so many a second apart. It is nil if there is room.
func (f *checkFlags) schedule() (at []time.Duration) {
	n, timeout := f.attempts.value, time.Duration(f.timeout)
	if timeout > time.Duration(n-1)*time.Second {
		return nil
	}
	step := max(timeout/time.Duration(n), 1)
	for i := range n {
		at = append(at, time.Duration(i)*step)
	}
	return at
}

// lookup is how TARGETs become endpoints.
func (f *checkFlags) lookup() (l check.Lookup, err error) {
	l = check.Lookup{AllAddresses: f.allAddresses, Interface: f.device.name}
	if l.Network, l.Because, err = addressFamily(f.only4, f.only6, f.source); err != nil {
		return l, err
	}
	if f.ports == "" {
		return l, nil
	}
	if l.Ports, err = target.ParsePorts(f.ports); err != nil {
		return l, exit.Usagef("-p %w", err)
	}
	return l, nil
}
