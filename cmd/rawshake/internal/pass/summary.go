//go:build linux && !android

package pass

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/term"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan"
	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/pace"
	"github.com/rawshake/rawshake/scan/progress"
	"github.com/rawshake/rawshake/scan/record"
)

// announce says what begins.
func (r *run) announce() {
	for _, remark := range r.set.Remarks() {
		r.say("%s", remark)
	}
	if r.Order.Shard.N > 1 && len(r.set.Pinned()) > 0 && r.Resume == nil {
		r.say("names may resolve to other addresses for the other parts, which then do not fit together: let one machine write the list for " +
			"all with `rawshake targets expand`")
	}
	if r.Progress == progress.ModeOff {
		return
	}
	verb := "scanning"
	if r.set.Outside > 0 {
		verb = "scanning what the scope allows of"
	}
	if r.Resume != nil {
		verb = fmt.Sprintf("going on after %d of", r.Resume.Run.Done())
	}
	r.say("%s %s at %s: %s; seed %d", verb, targets.Amount(r.plan.size, "target"), r.plan.rates(), r.plan.duration(), r.Order.Seed)
}

// say tells people something, above the bar.
func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.reporter, format+"\n", args...)
}

// finish ends the outputs, tells what came of it, and chooses the exit code. by is the signal that has ended the scan, failed the error
// that has.
func (r *run) finish(by *exit.Signal, failed error) error {
	t := r.scan.Totals()
	rec := r.record(t)
	whole := failed == nil && rec.Done() == rec.Targets
	rec.Complete = whole && t.Incomplete == 0
	if err := r.outputs.Finish(&rec); failed == nil {
		failed, whole = err, whole && err == nil
	}
	failed = cmp.Or(failed, r.letGo(whole))
	r.summary(&rec, t)
	r.noteUngrouped()
	if !whole && r.saver != nil {
		r.say("to go on: rawshake scan --resume %s", quoted(r.Checkpoint))
	}
	var outage *scan.OutageError
	switch {
	case errors.As(failed, &outage):
		return exit.With(exit.Incomplete, failed)
	case failed != nil:
		return exit.With(exit.System, failed)
	case by != nil:
		return exit.Quietly(by.Code())
	}
	return exit.Quietly(r.code(&rec, t))
}

// code is the exit code of a scan that went through: what could not be done outranks what was found.
func (r *run) code(rec *record.Run, t scan.Totals) exit.Code {
	if !rec.Complete {
		return exit.Incomplete
	}
	if len(r.set.Unresolved()) > 0 {
		return exit.Unresolved
	}
	for s := range match.NumStates {
		if r.FailOn.Has(s) && t.Verdicts[s] > 0 {
			return exit.NotOpen
		}
	}
	return exit.OK
}

// summary writes the outcome for people, unless a text output has just written it to the same place, and what slowed the scan down.
func (r *run) summary(rec *record.Run, t scan.Totals) {
	if !r.summarized() {
		text := strings.ReplaceAll("\n"+string(rec.AppendText(nil)), "\n# ", "\n")
		r.say("%s", strings.TrimSpace(text))
	}
	if b := r.scan.Backoff(); b.Drops > 0 {
		r.say("slowed down %d times because this machine lost packets: to %s packets/s at the lowest, for %v in all",
			b.Drops, pace.FormatRate(math.Round(b.Lowest)), b.Slowed.Round(100*time.Millisecond))
	}
	if t.Requeued > 0 {
		r.say("%s asked once more because packets were lost on our side", targets.Amount(t.Requeued, "target"))
	}
	if t.Incomplete > 0 {
		r.say("%s unsent because this host could not ask, or lost what they answered: --show unsent lists them", targets.Amount(t.Incomplete, "target"))
	}
	if t.Incomplete > 0 && t.RingDrops > 0 {
		r.say("a lower --rate may help: this host dropped %s", targets.Amount(t.RingDrops, "packet"))
	}
}

// noteUngrouped tells of XML that some readers get wrong, where hosts have several ports.
func (r *run) noteUngrouped() {
	if r.set.Size() == r.set.Addresses() {
		return
	}
	for _, path := range r.outputs.Ungrouped() {
		if path == output.Stdout {
			path = "standard output"
		}
		r.say("%s: each port has a host element of its own, of which some readers keep a host's last alone: hosts are grouped at the end of "+
			"a complete scan, in a file that is not compressed and has at most 2^20 records", path)
	}
}

// summarized reports whether a text output has written the summary where this one would go, as on a terminal and after 2>&1.
func (r *run) summarized() bool {
	for _, o := range r.Outputs {
		if o.Path == output.Stdout && o.Format == output.Text && term.Same(r.Stdout, r.Stderr) {
			return true
		}
	}
	return false
}

// quoted is a file name as a shell reads it.
func quoted(name string) string {
	if strings.ContainsAny(name, " \t\n'\"\\$&|;<>()*?[]#~`!{}") {
		return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return name
}
