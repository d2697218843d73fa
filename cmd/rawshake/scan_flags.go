//go:build linux && !android

package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/pass"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/term"
	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan"
	"github.com/rawshake/rawshake/scan/checkpoint"
	"github.com/rawshake/rawshake/scan/filter"
	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/progress"
	"github.com/spf13/cobra"
)

// scanFlags are the flags of `rawshake scan` as they were written.
type scanFlags struct {
	targetFlags

	rate, hostRate, netRate rate
	maxInFlight, attempts   bounded
	timeout                 positive
	outageWait              patience

	source         address
	device         device
	sourcePorts    portRange
	ttl, tos, mark bounded
	sendIP         bool
	style          string

	show, filter, fields string
	outputs              []string
	json                 bool
	pcap, failOn         string

	progress, color    string
	checkpoint, resume string
	saveEvery          positive
	dryRun, yes        bool
}

func newScanFlags() *scanFlags {
	return &scanFlags{
		rate:        "10k",
		maxInFlight: bounded{value: scan.DefaultInFlight, least: 1, most: match.MaxSlots},
		attempts:    bounded{value: scan.DefaultAttempts, least: 1, most: rawshake.MaxAttempts},
		timeout:     positive(scan.DefaultTimeout),
		outageWait:  patience(scan.DefaultOutage),
		ttl:         bounded{value: 64, least: 1, most: 255},
		tos:         bounded{most: 255},
		mark:        bounded{most: 1<<32 - 1},
		saveEvery:   positive(5 * time.Second),
	}
}

func (f *scanFlags) register(cmd *cobra.Command) {
	f.targetFlags.register(cmd)
	flags := cmd.Flags()
	flags.Var(&f.rate, "rate", "packets a second, SYN and RST, as in 500k or 1.5M, or bits as in 100Mbit, or max")
	flags.Var(&f.hostRate, "per-host-rate", "most SYNs a second to one address")
	flags.Var(&f.netRate, "per-net-rate", "most SYNs a second to one /24 or, in IPv6, /64")
	flags.Var(&f.maxInFlight, "max-inflight", "most targets that wait for an answer at a time; the rate yields to it")
	flags.VarP(&f.timeout, "timeout", "t", "time for a target to answer, from the first SYN on")
	flags.Var(&f.attempts, "attempts", "most SYNs to a silent target, spread over the timeout")
	flags.Var(&f.outageWait, "outage-wait", "how long to wait for an interface, a route or a gateway that has gone away, 0 not at all")
	flags.VarP(&f.source, "source", "S", "source address")
	flags.VarP(&f.device, "interface", "I", "interface to send from")
	flags.Var(&f.sourcePorts, "source-ports", sourcePortsHelp+"; at least 8 for each processor")
	flags.Var(&f.ttl, "ttl", "TTL or hop limit of what is sent")
	flags.Var(&f.tos, "tos", "TOS byte or traffic class of what is sent")
	flags.Var(&f.mark, "mark", "mark of what is sent (SO_MARK), for policy routing; 0x may stand before it")
	flags.BoolVar(&f.sendIP, "send-ip", false, "send by raw IP sockets, through this host's OUTPUT firewall and address translation like a connection: slower")
	flags.StringVar(&f.style, "syn-options", craft.MSSOnly.String(), "TCP options of the SYN: mss, linux, windows, bsd, none")
	flags.StringVar(&f.show, "show", "", `states that are written: open, closed, unreachable, filtered, unsent, all (default open, with --filter all)`)
	flags.StringVar(&f.filter, "filter", "", `write only what passes, as in 'port in (80, 443) && rtt_us < 1000'; its fields are those of the JSON lines, its operators = != < <= > >= in ~ && || ! ( )`)
	flags.StringArrayVarP(&f.outputs, "output", "o", nil, "where records go: .txt, .jsonl, .csv, .xml, .gnmap, format:FILE, - for stdout; may be given again; a new scan overwrites files (default text:-)")
	flags.BoolVarP(&f.json, "json", "J", false, "JSON lines on stdout, like -o jsonl:-")
	flags.StringVar(&f.fields, "fields", "", "columns of CSV, as in addr,port,state,rtt_us (default all)")
	flags.StringVar(&f.pcap, "pcap", "", "write the packets sent and received to this pcapng file; a new scan overwrites it")
	flags.StringVar(&f.failOn, "fail-on", "", "states that make the exit code 1, as in closed,filtered")
	flags.StringVar(&f.progress, "progress", "auto", "bar, log (a line each 10 s), off, or auto: bar on a terminal, else log")
	flags.StringVar(&f.checkpoint, "checkpoint", "", "file that the state is saved to, or off (default: the first output's name and .checkpoint)")
	flags.Var(&f.saveEvery, "checkpoint-every", "time between two checkpoints; what was found after the last is asked again after a kill")
	flags.StringVar(&f.resume, "resume", "", "go on with the scan of this checkpoint, with its targets and flags; others may be given to --rate, --per-host-rate, --per-net-rate, --max-inflight, --outage-wait, --checkpoint-every and --fail-on")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show targets, rate, time and routes, and send nothing")
	flags.BoolVarP(&f.yes, "yes", "y", false, "start even a scan of more than 2^20 targets from a terminal")
	flags.StringVar(&f.color, "color", "auto", "auto, always or never; NO_COLOR is honoured")
	complete(cmd, "syn-options", styles...)
	complete(cmd, "show", "open", "closed", "unreachable", "filtered", "unsent", "all")
	complete(cmd, "progress", "auto", "bar", "log", "off")
	complete(cmd, "color", term.Modes...)
	completeDevices(cmd, "interface")
}

// options turns the flags, or those of the scan that goes on, into what a pass does. What is wrong with them is an error of usage.
func (f *scanFlags) options(cmd *cobra.Command, args []string) (o pass.Options, err error) {
	var resumed *checkpoint.Checkpoint
	if f.resume != "" {
		if resumed, args, err = restore(cmd, f.resume, args); err != nil {
			return o, err
		}
		if err := f.enter(cmd, resumed.Dir); err != nil {
			return o, exit.Usagef("--resume: %w", err)
		}
	}
	o = pass.Options{
		Rate: string(f.rate), HostRate: string(f.hostRate), NetRate: string(f.netRate),
		MaxInFlight: int(f.maxInFlight.value), Timeout: time.Duration(f.timeout), Attempts: int(f.attempts.value), Outage: f.outageWait.config(),
		Source: f.source.Addr, Interface: f.device.name, SourcePorts: f.sourcePorts.PortRange,
		TTL: uint8(f.ttl.value), TOS: uint8(f.tos.value), Mark: uint32(f.mark.value),
		SendIP: f.sendIP, Pcap: f.pcap, Resume: resumed, ResumeFile: f.resume, SaveEvery: time.Duration(f.saveEvery), DryRun: f.dryRun, Yes: f.yes,
		Version: thisBuild().Version, CommandLine: strings.Join(os.Args, " "),
		Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
	}
	for _, step := range []func(*cobra.Command, *pass.Options) error{f.chooseTargets(args), f.chooseRecords, f.chooseLook, f.chooseState} {
		if err := step(cmd, &o); err != nil {
			return o, exit.With(exit.Usage, err)
		}
	}
	return o, nil
}

// chooseTargets fills in what is asked, and in which order.
func (f *scanFlags) chooseTargets(args []string) func(*cobra.Command, *pass.Options) error {
	return func(cmd *cobra.Command, o *pass.Options) (err error) {
		if o.Targets, err = f.input(cmd, args); err != nil {
			return err
		}
		o.Targets.Interface = f.device.name
		if o.Resume != nil {
			o.Targets.Pinned = pinned(o.Resume)
		}
		if err := f.fits(cmd); err != nil {
			return err
		}
		o.Order = f.order(cmd)
		o.Style, err = craft.ParseStyle(f.style)
		return prefixed("--syn-options", err)
	}
}

// chooseRecords fills in which records go where.
func (f *scanFlags) chooseRecords(_ *cobra.Command, o *pass.Options) (err error) {
	if f.pcap == output.Stdout {
		return errors.New("--pcap -: want the name of a file; stdout is for the records: where they go elsewhere, write --pcap /dev/stdout")
	}
	if o.Filter, err = filter.Compile(f.filter); err != nil {
		return err // which begins with the flag
	}
	o.Show = filter.All
	if f.show != "" || f.filter == "" {
		if o.Show, err = filter.ParseStates(orElse(f.show, "open")); err != nil {
			return err
		}
	}
	if f.failOn != "" {
		if o.FailOn, err = parseFailOn(f.failOn); err != nil {
			return err
		}
	}
	outputs := f.outputs
	switch {
	case f.json:
		outputs = append(slices.Clone(outputs), "jsonl:-")
	case len(outputs) == 0:
		outputs = []string{output.Stdout}
	}
	o.Outputs, err = output.ParseSpecs(outputs, f.fields)
	return err
}

// chooseLook fills in what a person sees.
func (f *scanFlags) chooseLook(_ *cobra.Command, o *pass.Options) (err error) {
	if o.Progress, err = progress.ParseMode(f.progress); err != nil {
		return err
	}
	o.Color, err = term.Color(f.color, o.Stdout, os.Getenv)
	return err
}

// chooseState fills in where the state is saved, and which flags go with it.
func (f *scanFlags) chooseState(cmd *cobra.Command, o *pass.Options) error {
	o.Flags = saved(cmd, f.seed)
	o.Lasting = lasting(o.Flags)
	switch f.checkpoint {
	case "off":
	case "":
		o.Checkpoint = orElse(f.resume, checkpoint.DefaultPath(o.Outputs))
		o.Spare = !slices.ContainsFunc(o.Outputs, output.Spec.File)
	default:
		o.Checkpoint = f.checkpoint
	}
	return nil
}
