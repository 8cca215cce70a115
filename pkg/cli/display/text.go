package display

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// style is how a piece of text looks: parameters of the terminal's SGR sequence (ECMA-48, 8.3.117).
type style string

const (
	normal style = ""
	dim    style = "2"
	bold   style = "1"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// span is a piece of text in one style.
type span struct {
	style style
	text  string
}

// line is what is shown on a line.
type line []span

// width returns how many columns the line takes.
func (l line) width() int {
	n := 0
	for _, s := range l {
		n += runewidth.StringWidth(s.text)
	}
	return n
}

// fit returns the line cut to that many columns; a cut is marked by an ellipsis.
func (l line) fit(width int) line {
	if l.width() <= width {
		return l
	}
	var out line
	left := width - 1 // for the ellipsis
	for _, s := range l {
		w := runewidth.StringWidth(s.text)
		if w <= left {
			out = append(out, s)
			left -= w
			continue
		}
		s.text = runewidth.Truncate(s.text, max(left, 0), "") + "…"
		return append(out, s)
	}
	return out
}

// paint returns the line's text, with its styles if color is on.
func (l line) paint(color bool) string {
	var b strings.Builder
	for _, s := range l {
		if color && s.style != normal && s.text != "" {
			b.WriteString("\x1b[" + string(s.style) + "m" + s.text + "\x1b[0m")
		} else {
			b.WriteString(s.text)
		}
	}
	return b.String()
}

// clean makes one line of what others said: without the escape sequences and control characters that would move the
// cursor or colour what follows.
func clean(s string) string {
	var b strings.Builder
	rest := []rune(strings.TrimRight(s, "\r\n\t "))
	for i := 0; i < len(rest); i++ {
		switch r := rest[i]; {
		case r == '\x1b':
			i = skipEscape(rest, i)
		case r == '\t' || r == '\n':
			b.WriteByte(' ')
		case !unicode.IsControl(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// skipEscape returns the index of the last rune of the escape sequence that begins at i: a control sequence ends with
// a rune from @ to ~ (ECMA-48, 5.4), an operating system command with BEL or ESC \, any other has two runes.
func skipEscape(rs []rune, i int) int {
	if i+1 >= len(rs) {
		return i
	}
	switch rs[i+1] {
	case '[':
		for i += 2; i < len(rs); i++ {
			if rs[i] >= '@' && rs[i] <= '~' {
				return i
			}
		}
	case ']':
		for i += 2; i < len(rs); i++ {
			if rs[i] == '\a' || (rs[i] == '\\' && rs[i-1] == '\x1b') {
				return i
			}
		}
	default:
		return i + 1
	}
	return len(rs)
}

// duration returns how long something took in a few characters: 0.4s, 12.3s, 3m05s.
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d = d.Round(100 * time.Millisecond); d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return wholeSeconds(d)
}

// wholeSeconds is duration without tenths, for what is shown while it grows.
func wholeSeconds(d time.Duration) string {
	d = d.Truncate(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// counted returns a step's progress in words: "120.0 of 480.0 MB", "3 of 5 nodes", "4.2 MB".
func counted(p *event.Progress) string {
	if p.Unit == "bytes" {
		size, unit := float64(1000), "kB"
		for _, next := range []string{"MB", "GB"} {
			if float64(max(p.Done, p.Total)) >= size*1000 {
				size, unit = size*1000, next
			}
		}
		if p.Total == 0 {
			return fmt.Sprintf("%.1f %s", float64(p.Done)/size, unit)
		}
		return fmt.Sprintf("%.1f of %.1f %s", float64(p.Done)/size, float64(p.Total)/size, unit)
	}
	if p.Total == 0 {
		return strings.TrimSpace(fmt.Sprintf("%d %s", p.Done, p.Unit))
	}
	return strings.TrimSpace(fmt.Sprintf("%d of %d %s", p.Done, p.Total, p.Unit))
}

// finishedLine says how a step ended.
func finishedLine(ev event.Event) line {
	mark, remark := span{green, "✓"}, duration(ev.Seconds)
	switch ev.Status {
	case event.Succeeded:
	case event.Failed:
		mark = span{red, "✗"}
		if ev.Error != nil && ev.Error.Code == fault.Interrupted {
			mark, remark = span{yellow, "✗"}, "cancelled"
		}
	case event.Skipped:
		mark, remark = span{dim, "-"}, clean(ev.Message)
	case event.Undone:
		mark = span{yellow, "↩"}
		if ev.Seconds == 0 {
			remark = ""
		}
	}
	l := line{mark, {normal, " " + clean(ev.Title)}}
	if remark != "" {
		l = append(l, span{dim, " (" + remark + ")"})
	}
	return l
}

// warningLines says a warning and its hint.
func warningLines(ev event.Event) []line {
	lines := []line{{{yellow, "warning:"}, {normal, " " + clean(ev.Message)}}}
	if ev.Hint != "" {
		lines = append(lines, line{{dim, "hint:"}, {normal, " " + clean(ev.Hint)}})
	}
	return lines
}

// closingLines says how the run ended: its message, or the report of its error.
func closingLines(ev event.Event, verbosity int) []line {
	if ev.Error != nil {
		return reportLines(*ev.Error, verbosity)
	}
	return textLines(ev.Message)
}

// textLines returns the lines of a text; none of an empty one.
func textLines(text string) []line {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	var lines []line
	for s := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		lines = append(lines, line{{normal, clean(s)}})
	}
	return lines
}
