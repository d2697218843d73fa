package progress

import (
	"context"
	"io"
	"sync"
	"time"
)

// How often a line is drawn, or written.
const (
	barInterval = 250 * time.Millisecond
	logInterval = 10 * time.Second
)

// Config says what a [Reporter] shows and where.
type Config struct {
	Out      io.Writer       // usually standard error
	Snapshot func() Snapshot // the counters now; called from the goroutines of Run and Now, one at a time
	Mode     Mode            // Auto is taken for ModeLog: resolve it first
	Color    bool            // of the bar; the command decides, by NO_COLOR among others
	Width    func() int      // columns of the terminal, asked for each bar; if nil, 80
}

// Reporter shows the progress of one scan. Its methods may be called from any goroutine.
type Reporter struct {
	config Config
	mu     sync.Mutex
	meter  Meter
	drawn  bool // a bar stands in the current line of the terminal
}

// NewReporter returns a reporter; [Reporter.Run] starts it.
func NewReporter(c Config) *Reporter { return &Reporter{config: c} }

// Run shows the progress until ctx is done, and takes the bar away then. A bar is drawn at most four times a second, a
// log line written every ten seconds.
func (r *Reporter) Run(ctx context.Context) {
	interval, show := logInterval, r.Now
	switch r.config.Mode {
	case ModeBar:
		interval, show = barInterval, r.draw
	case ModeOff:
		show = func() { r.view() } // the meter goes on, for Now
	}
	r.view() // the base of the first rate
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			show()
		case <-ctx.Done():
			r.mu.Lock()
			defer r.mu.Unlock()
			r.erase()
			return
		}
	}
}

// Now writes a line at once, whatever the mode.
func (r *Reporter) Now() {
	line := "progress: " + Line(r.view()) + "\n"
	r.Write([]byte(line))
}

// Write lets whole lines pass to the output, above the bar if there is one: give it to a logger. The bar comes back
// when it is drawn the next time.
func (r *Reporter) Write(lines []byte) (int, error) { return r.Above(r.config.Out).Write(lines) }

// Above returns a writer that takes the bar away and passes whole lines to w: for a standard output that is the same
// terminal.
func (r *Reporter) Above(w io.Writer) io.Writer { return above{r, w} }

type above struct {
	reporter *Reporter
	w        io.Writer
}

func (a above) Write(lines []byte) (int, error) {
	a.reporter.mu.Lock()
	defer a.reporter.mu.Unlock()
	a.reporter.erase()
	return a.w.Write(lines)
}

func (r *Reporter) view() View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.meter.View(r.config.Snapshot(), time.Now())
}

const eraseLine = "\r\x1b[K" // to the first column, and clear from there

// draw puts the bar in place of the one before, in one write so that it does not flicker.
func (r *Reporter) draw() {
	view := r.view()
	width := 0
	if r.config.Width != nil {
		width = r.config.Width()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drawn = true
	io.WriteString(r.config.Out, eraseLine+Bar(view, width, r.config.Color))
}

// erase takes the bar away. The lock is held.
func (r *Reporter) erase() {
	if r.drawn {
		io.WriteString(r.config.Out, eraseLine)
		r.drawn = false
	}
}
