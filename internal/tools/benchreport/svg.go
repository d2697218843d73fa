package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// chart is a row of panels over the same steps.
type chart struct {
	axis   string
	steps  []string
	legend []string // of the lines of every panel
	panels []panel
}

type panel struct {
	title string
	lines [][]point
}

// point is a value at a step.
type point struct {
	step  int
	value float64
}

// The measures of a panel in pixels: it has a margin on each side, and the plot is between.
const (
	panelWidth, panelHeight = 300, 260
	left, right, top, foot  = 52, 16, 56, 44
	plotWidth, plotHeight   = panelWidth - left - right, panelHeight - top - foot
)

var colours = []string{"#0b6e99", "#d9730d", "#6940a5"}

// svg draws the chart, on white so that it can be read on any page.
func (c chart) svg() string {
	var b strings.Builder
	width := panelWidth * len(c.panels)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n",
		width, panelHeight, width, panelHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, panelHeight)
	for i, p := range c.panels {
		fmt.Fprintf(&b, `<g transform="translate(%d 0)">`+"\n", i*panelWidth)
		c.draw(&b, p)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (c chart) draw(b *strings.Builder, p panel) {
	text(b, left, 18, "start", "#222", p.title)
	for i, name := range c.legend {
		text(b, left+i*90, 38, "start", colours[i], name)
	}
	most := p.ceiling()
	for _, share := range []float64{0, 0.25, 0.5, 0.75, 1} {
		y := height(share)
		fmt.Fprintf(b, `<path d="M%d %.1fh%d" stroke="#ddd"/>`+"\n", left, y, plotWidth)
		text(b, left-6, int(y)+4, "end", "#555", label(share*most))
	}
	for i, s := range c.steps {
		text(b, int(c.x(i)), panelHeight-foot+16, "middle", "#555", s)
	}
	text(b, left+plotWidth/2, panelHeight-10, "middle", "#222", c.axis)
	for i, line := range p.lines {
		c.line(b, line, most, colours[i])
	}
}

func (c chart) line(b *strings.Builder, line []point, most float64, colour string) {
	var at []string
	for _, p := range line {
		x, y := c.x(p.step), height(p.value/most)
		at = append(at, fmt.Sprintf("%.1f,%.1f", x, y))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s</title></circle>`+"\n", x, y, colour, label(p.value))
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(at, " "), colour)
}

// x is where a step stands: the first and the last a little inside.
func (c chart) x(step int) float64 {
	const inset = 16.0
	return left + inset + float64(step)*(plotWidth-2*inset)/float64(max(1, len(c.steps)-1))
}

// height is where a share of the axis is.
func height(share float64) float64 { return top + plotHeight*(1-share) }

// ceiling is a round number at or above every value.
func (p panel) ceiling() float64 {
	most := 0.0
	for _, line := range p.lines {
		for _, at := range line {
			most = max(most, at.value)
		}
	}
	if most <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(most)))
	for _, times := range []float64{1, 2, 4, 6, 8} {
		if most <= times*unit {
			return times * unit
		}
	}
	return 10 * unit
}

func text(b *strings.Builder, x, y int, anchor, colour, s string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, colour, html.EscapeString(s))
}
