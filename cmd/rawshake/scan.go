//go:build linux && !android

package main

import (
	"github.com/rawshake/rawshake/cmd/rawshake/internal/pass"
	"github.com/spf13/cobra"
)

const scanExitCodes = `Exit codes:
  0  every target has its verdict
  1  a target has one of the states of --fail-on
  2  a name did not resolve: its targets are unsent, all others were asked
  3  the command line or a target is wrong
  4  no privilege, or a system failure such as a full disk
  5  verdicts are missing: a target that --scope allows is unsent, or our side of the network went
     away and did not come back
  129, 130, 143  ended by SIGHUP, SIGINT, SIGTERM, after the checkpoint and the summary`

func newScan() *cobra.Command {
	f := newScanFlags()
	cmd := &cobra.Command{
		Use:   "scan [flags] TARGET...",
		Short: "Probe many targets once each, in random order at a steady rate",
		Long: `scan asks every target once and counts one verdict for each: open (a SYN-ACK answered), closed (a
RST), unreachable (an ICMP error, or no way), filtered (silence), unsent (with the reason; it says
nothing about the target). Those of --show, or what passes --filter, are written to the outputs.
Figures and progress go to stderr; SIGUSR1 prints the progress at once. docs/scanning.md explains
all this at length.

` + targetsHelp + `

Where the format of an output does not follow from its name, write it before the name: text, jsonl,
csv, xml (nmap's), grepable (nmap's), as in csv:result. A name that ends in .zst is compressed. A
new scan overwrites its outputs. All but CSV, which is nothing but data, end with a record of the
run, which says whether the scan is complete: add -o x.jsonl to a CSV that must tell. Those of nmap
are grouped by host at the end of a complete scan, in a file that is not compressed and has at most
2^20 records; else each port stands for itself, of which some readers of XML keep a host's last
alone.

The state is saved every few seconds beside the first output that is a file, else in
rawshake.checkpoint or, where another scan has that, rawshake-2.checkpoint and so on. A scan that
was interrupted, or killed, goes on with --resume and all its flags, from any directory; what came
by standard input is to be piped in again. Every target is in a file once. What went to a pipe or
stdout cannot be taken back: after a kill the targets since the last state are there twice. A
resume begins a pipe with a head, as CSV and XML have it, but not what a shell's >> goes on with. A
scan also stops, to go on later, when an output or the packets of --pcap cannot be written. A
second SIGINT, a second later, ends the program at once.

When our side of the network goes away (an interface that it sends by is down, without carrier or
takes no packets, a gateway answers no more, targets lose their route), the scan waits and says so,
for --outage-wait at most, and goes on by itself; else it stops, to go on later.

` + scanExitCodes,
		Example: `  rawshake scan 10.0.0.0/8 -p 80,443 --rate 500k -o result.jsonl
  rawshake scan -f hosts.txt -p 22 --exclude 10.0.0.0/24 -o open.csv --fields addr,port,rtt_us,label
  rawshake scan 2001:db8::/112 192.0.2.0/24 -p 1-1024 --show all -o all.jsonl.zst -o nmap.xml
  rawshake scan 10.0.0.0/16 -p 443 --filter 'state = open && rtt_us > 100000'
  rawshake scan 10.0.0.0/8 -p 443 --dry-run              what would happen, and how long it takes
  rawshake scan 10.0.0.0/8 -p 443 --seed 7 --shard 1/2   one half; --shard 2/2 is the other
  rawshake scan --resume result.jsonl.checkpoint         go on after an interruption`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(cmd, args)
			if err != nil {
				return err
			}
			return pass.Run(cmd.Context(), o)
		},
	}
	f.register(cmd)
	return cmd
}
