package display

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Control sequences (ECMA-48; the private modes are DEC's and xterm's).
const (
	eraseRest  = "\x1b[K"      // from the cursor to the end of its line
	eraseWhole = "\x1b[2K"     // the cursor's line
	eraseBelow = "\x1b[J"      // from the cursor to the end of the screen
	hideCursor = "\x1b[?25l"   //
	showCursor = "\x1b[?25h"   //
	beginFrame = "\x1b[?2026h" // show nothing until endFrame; terminals that do not know it ignore it
	endFrame   = "\x1b[?2026l" //
)

// painter keeps a region of lines at the bottom of what was written to a terminal. The cursor stands at the beginning
// of the line below the region. Each frame is one write, and only what has changed is in it.
type painter struct {
	out   io.Writer
	color bool

	rows   []line // the region as it is on the screen
	width  int    // the terminal's when they were written
	hidden bool   // the cursor is
	keep   bool   // the cursor is not to be hidden
}

// frame writes lines above the region for good, and makes live the region.
func (p *painter) frame(above, live []line, width int) {
	var b strings.Builder
	if width != p.width && len(p.rows) > 0 {
		// The terminal has wrapped the lines anew: the region takes as many rows as they fill now.
		n := 0
		for _, r := range p.rows {
			n += max(1, (r.width()+width-1)/width)
		}
		b.WriteString(up(n) + eraseBelow)
		p.rows = nil
	}
	p.width = width
	if len(above) == 0 && len(live) == len(p.rows) {
		p.patch(&b, live)
	} else {
		b.WriteString(up(len(p.rows)))
		row := 0
		for _, l := range slices.Concat(above, live) {
			n := max(1, (l.width()+width-1)/width) // long lines above the region wrap
			p.clear(&b, row, n)
			row += n
			b.WriteString(l.paint(p.color) + "\r\n")
		}
		if row < len(p.rows) {
			b.WriteString(eraseBelow)
		}
	}
	p.rows = live
	if b.Len() == 0 {
		return
	}
	cursor := ""
	if len(live) > 0 && !p.hidden && !p.keep {
		cursor, p.hidden = hideCursor, true
	}
	p.write(beginFrame + cursor + b.String() + endFrame)
}

// clear erases what is in the way of the n rows from that of the region on, and leaves the cursor where it was. Whole
// lines are erased: some terminals keep what is erased behind a text as blanks, and wrap them when they are resized.
func (p *painter) clear(b *strings.Builder, row, n int) {
	n = min(n, len(p.rows)-row)
	for i := range n {
		if i > 0 {
			b.WriteString(down(1))
		}
		b.WriteString(eraseWhole)
	}
	if n > 1 {
		b.WriteString(up(n - 1))
	}
}

// patch rewrites the lines of the region that have changed.
func (p *painter) patch(b *strings.Builder, live []line) {
	for i, l := range live {
		if slices.Equal(l, p.rows[i]) {
			continue
		}
		n := len(live) - i
		b.WriteString(up(n) + l.paint(p.color))
		if l.width() < p.rows[i].width() {
			b.WriteString(eraseRest)
		}
		b.WriteString(down(n))
	}
}

// keepCursor shows the cursor from now on.
func (p *painter) keepCursor() {
	p.keep = true
	p.close()
}

// close gives the cursor back.
func (p *painter) close() {
	if p.hidden {
		p.hidden = false
		p.write(showCursor)
	}
}

// write writes to the terminal. Where that is gone, there is nobody left to tell.
func (p *painter) write(s string) { _, _ = io.WriteString(p.out, s) }

// up moves the cursor to the beginning of the line n lines up.
func up(n int) string {
	if n == 0 {
		return "\r"
	}
	return fmt.Sprintf("\r\x1b[%dA", n)
}

// down moves the cursor to the beginning of the line n lines down.
func down(n int) string { return fmt.Sprintf("\r\x1b[%dB", n) }
