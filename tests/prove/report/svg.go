package report

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"strings"

	"spillway/tests/prove/replay"
)

// The picture's measures, in pixels.
const (
	panelWidth, panelHeight = 430, 292
	margin                  = 24 // around the picture, and between its parts
	headHeight              = 88 // the picture's title and legend
	rowTitle                = 30
	left, right             = 52, 18 // of a panel's charts: room for the axis
	fillTop, fillHeight     = 54, 130
	markTop, markHeight     = 194, 12 // the lane of 429s
	spillTop, spillHeight   = 216, 46

	// fillRoom is how much of the upper chart's height is there for what goes
	// beyond the limit, as a share of the limit.
	fillRoom = 0.6
)

// The colours: what the PTU served, what it refused, what PAYG served.
const (
	blue, red, amber = "#2f6db5", "#d1383d", "#d99a1c"
	ink, faint       = "#1f2730", "#6b7682"
)

// SVG draws the outcomes: a row of panels per scenario, a panel per gateway, a
// bar per second.
func SVG(w io.Writer, outcomes []replay.Outcome) error {
	rows := byScenario(outcomes)
	most := 1
	for _, row := range rows {
		most = max(most, len(row))
	}
	width := 2*margin + most*panelWidth + (most-1)*margin
	height := headHeight + len(rows)*(rowTitle+panelHeight+margin)
	d := drawing{bufio.NewWriter(w)} // it keeps the first error for Flush
	d.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="12" fill="%[3]s">`,
		width, height, ink)
	d.rect(0, 0, float64(width), float64(height), "#ffffff")
	d.head()
	for i, row := range rows {
		y := headHeight + i*(rowTitle+panelHeight+margin)
		d.text(margin, y+16, 15, ink, "font-weight=\"600\"", row[0].Scenario.Name())
		scale := mostSpilled(row)
		for k, o := range row {
			d.printf(`<g transform="translate(%d %d)">`, margin+k*(panelWidth+margin), y+rowTitle)
			d.panel(o, scale)
			d.printf("</g>")
		}
	}
	d.printf("</svg>")
	return d.Flush()
}

// byScenario groups the outcomes, which come in the order of their scenarios.
func byScenario(outcomes []replay.Outcome) [][]replay.Outcome {
	var rows [][]replay.Outcome
	for i, o := range outcomes {
		if i == 0 || o.Scenario.Name() != outcomes[i-1].Scenario.Name() {
			rows = append(rows, nil)
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], o)
	}
	return rows
}

// mostSpilled is the most tokens that any of the gateways spilled in a second.
func mostSpilled(row []replay.Outcome) int64 {
	most := int64(1)
	for _, o := range row {
		for _, s := range o.Seconds {
			most = max(most, s.Spilled)
		}
	}
	return most
}

// drawing writes SVG elements.
type drawing struct{ *bufio.Writer }

func (d drawing) printf(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d drawing) rect(x, y, w, h float64, fill string) {
	if w > 0 && h > 0 {
		d.printf(`<rect x="%.2f" y="%.2f" width="%.2f" height="%.2f" fill="%s" shape-rendering="crispEdges"/>`, x, y, w, h, fill)
	}
}

func (d drawing) line(x1, y1, x2, y2 float64, colour, more string) {
	d.printf(`<line x1="%.2f" y1="%.2f" x2="%.2f" y2="%.2f" stroke="%s" %s/>`, x1, y1, x2, y2, colour, more)
}

func (d drawing) text(x, y, size int, fill, more, s string) {
	d.printf(`<text x="%d" y="%d" font-size="%d" fill="%s" %s>%s</text>`, x, y, size, fill, more, html.EscapeString(s))
}

// head is the title and the legend.
func (d drawing) head() {
	d.text(margin, 34, 19, ink, `font-weight="700"`, "Tokens on the PTU, second by second")
	x := margin
	for _, entry := range []struct{ colour, name string }{
		{blue, "charged by the PTU, summed up in each minute"},
		{red, "refused by the PTU (429), likewise; below: seconds in which clients got a 429"},
		{amber, "spilled to PAYG, per second"},
	} {
		d.rect(float64(x), 51, 12, 12, entry.colour)
		d.text(x+18, 62, 12, ink, "", entry.name)
		x += 48 + 13*len(entry.name)/2
	}
}

// panel draws one outcome.
func (d drawing) panel(o replay.Outcome, spillScale int64) {
	d.printf(`<rect width="%d" height="%d" rx="6" fill="#f6f8fa"/>`, panelWidth, panelHeight)
	d.text(14, 22, 13, ink, `font-weight="600"`, gateway(o.Contender))
	colour := faint
	if o.Result.Client429 > 0 || o.Result.Fitted > 0 {
		colour = red
	}
	d.text(14, 40, 12, colour, "", summary(o))
	d.fill(o)
	d.marks(o)
	d.spill(o, spillScale)
	for minute := 0; minute <= len(o.Seconds)/60; minute++ {
		x := d.x(o, minute*60)
		d.line(x, fillTop, x, spillTop+spillHeight, "#c3cad2", "")
		d.text(int(x), spillTop+spillHeight+16, 11, faint, `text-anchor="middle"`, fmt.Sprintf("%d:00", minute))
	}
}

func summary(o replay.Outcome) string {
	var fill []string
	for _, f := range o.Result.Fill(replay.Limit) {
		fill = append(fill, percent(f))
	}
	s := fmt.Sprintf("%s client 429s · PTU fill %s · %s spilled", count(o.Result.Client429), strings.Join(fill, ", "), count(o.Result.Spilled))
	if o.Result.Fitted > 0 {
		s += fmt.Sprintf(", %s would have fit", count(o.Result.Fitted))
	}
	return s
}

// x is where a second begins.
func (d drawing) x(o replay.Outcome, second int) float64 {
	return left + float64(second)*float64(panelWidth-left-right)/float64(len(o.Seconds))
}

// fill draws what the PTU got, against its limit.
func (d drawing) fill(o replay.Outcome) {
	const bottom, perToken = fillTop + fillHeight, fillHeight / ((1 + fillRoom) * replay.Limit)
	var charged, refused int64
	for i, s := range o.Seconds {
		if i%60 == 0 {
			charged, refused = 0, 0
		}
		charged, refused = charged+s.Charged, refused+s.Refused
		x, w := d.x(o, i), d.x(o, 1)-d.x(o, 0)
		h := float64(charged) * perToken
		over := min(float64(refused)*perToken, fillHeight-h)
		d.rect(x, bottom-h, w, h, blue)
		d.rect(x, bottom-h-over, w, over, red)
		if i%60 == 59 && float64(charged+refused)*perToken > fillHeight {
			d.text(int(d.x(o, i-29)), fillTop+15, 11, "#ffffff", `font-weight="600" text-anchor="middle"`, fmt.Sprintf("▲ %s refused", count(int(refused))))
		}
	}
	limit := bottom - replay.Limit*perToken
	d.line(left, limit, panelWidth-right, limit, ink, `stroke-dasharray="5 3"`)
	d.text(left-6, int(limit)+4, 11, ink, `text-anchor="end"`, count(replay.Limit))
	d.text(left-6, bottom, 11, faint, `text-anchor="end"`, "0")
	d.line(left, bottom, panelWidth-right, bottom, "#c3cad2", "")
}

// marks draws a mark for each second in which clients got a 429.
func (d drawing) marks(o replay.Outcome) {
	d.text(left-6, markTop+markHeight-2, 11, faint, `text-anchor="end"`, "429s")
	for i, s := range o.Seconds {
		if s.Client429 > 0 {
			d.rect(d.x(o, i), markTop, d.x(o, 1)-d.x(o, 0), markHeight, red)
		}
	}
}

// spill draws what went to PAYG; the scale is the same for all gateways of the
// scenario.
func (d drawing) spill(o replay.Outcome, scale int64) {
	const bottom = spillTop + spillHeight
	for i, s := range o.Seconds {
		h := spillHeight * float64(s.Spilled) / float64(scale)
		d.rect(d.x(o, i), bottom-h, d.x(o, 1)-d.x(o, 0), h, amber)
	}
	d.text(left-6, spillTop+8, 11, faint, `text-anchor="end"`, count(int(scale)))
	d.text(left-6, bottom, 11, faint, `text-anchor="end"`, "0")
	d.line(left, bottom, panelWidth-right, bottom, "#c3cad2", "")
}
