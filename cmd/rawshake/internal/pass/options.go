//go:build linux && !android

// Package pass is the work behind `rawshake scan`: one pass over many targets with the package scan, whose verdicts go to outputs,
// whose state goes to a checkpoint, and whose progress goes to a terminal.
package pass

import (
	"io"
	"net/netip"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/scan/checkpoint"
	"github.com/rawshake/rawshake/scan/filter"
	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/progress"
)

// Options say what a pass does. They are made of flags once.
type Options struct {
	Targets targets.Input
	Order   targets.Order

	Rate, HostRate, NetRate string // as pace.ParseRate reads them; "" and, for the latter two, "max": no limit
	MaxInFlight             int
	Timeout                 time.Duration
	Attempts                int
	Outage                  time.Duration // as in scan.Config

	Source      netip.Addr
	Interface   string
	SourcePorts rawshake.PortRange
	TTL, TOS    uint8
	Mark        uint32
	SendIP      bool // by raw IP sockets, not as whole frames
	Style       rawshake.Style

	Show    filter.States
	Filter  filter.Filter
	Outputs []output.Spec
	Pcap    string // file to write packets to; "": none

	Checkpoint string                 // file; "": none
	Spare      bool                   // take another name for it where that is taken
	SaveEvery  time.Duration          // to the checkpoint
	Resume     *checkpoint.Checkpoint // what to go on from; nil: begin
	ResumeFile string                 // where that was read
	Flags      checkpoint.Options     // what a resume will set again
	Lasting    checkpoint.Options     // those of the flags that it must not change
	FailOn     filter.States          // that make the exit code NotOpen

	DryRun, Yes bool
	Progress    progress.Mode
	Color       bool // of text on Stdout
	Version     string
	CommandLine string

	Stdout, Stderr io.Writer
}
