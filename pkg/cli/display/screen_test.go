package display

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
)

// screen is a terminal as far as the painter needs one: it wraps, scrolls, keeps what has scrolled away, and wraps its
// lines anew when it is resized. It fails the test on a control sequence that it does not know.
type screen struct {
	t             *testing.T
	width, height int
	rows          [][]string // cells; the second cell of a wide rune is ""
	wrapped       []bool     // the row goes on in the next one
	row, col      int        // of the cursor, row counted from the first row ever written
	full          bool       // the cursor stands on the last column, behind what was written there
	hidden        bool
	writes        int
	cells         int // how many were written
}

func newScreen(t *testing.T, width, height int) *screen {
	t.Helper()
	return &screen{t: t, width: width, height: height, rows: [][]string{nil}, wrapped: []bool{false}}
}

func (s *screen) size() (width, height int) { return s.width, s.height }

// top is the first row that can still be reached.
func (s *screen) top() int { return max(0, len(s.rows)-s.height) }

// Write takes what a program prints.
func (s *screen) Write(p []byte) (int, error) {
	s.writes++
	csi := regexp.MustCompile(`^\x1b\[(\??)([0-9]*)([A-Za-z])`)
	for text := string(p); text != ""; {
		if m := csi.FindStringSubmatch(text); m != nil {
			s.control(m[1], m[2], m[3])
			text = text[len(m[0]):]
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		switch {
		case r == '\r':
			s.col, s.full = 0, false
		case r == '\n':
			s.newline()
		case r < ' ':
			s.t.Errorf("control character %q", r)
		default:
			s.put(r)
		}
	}
	return len(p), nil
}

func (s *screen) control(private, param, final string) {
	n, _ := strconv.Atoi(param)
	switch private + final {
	case "A":
		s.row, s.full = max(s.row-n, s.top()), false
	case "B":
		s.row, s.full = min(s.row+n, len(s.rows)-1), false
	case "K":
		if param == "2" {
			s.rows[s.row], s.wrapped[s.row] = nil, false
			break
		}
		s.rows[s.row], s.wrapped[s.row] = s.rows[s.row][:min(s.col, len(s.rows[s.row]))], false
		if s.full {
			s.t.Error("a line was erased with the cursor behind its last column")
		}
	case "J":
		s.rows[s.row], s.wrapped[s.row] = s.rows[s.row][:min(s.col, len(s.rows[s.row]))], false
		for i := s.row + 1; i < len(s.rows); i++ {
			s.rows[i], s.wrapped[i] = nil, false
		}
	case "m":
	case "?h", "?l":
		if param == "25" {
			s.hidden = final == "l"
		} else if param != "2026" {
			s.t.Errorf("mode %s", param)
		}
	default:
		s.t.Errorf("control sequence %s%s%s", private, param, final)
	}
}

func (s *screen) newline() {
	s.full = false
	if s.row++; s.row == len(s.rows) {
		s.rows, s.wrapped = append(s.rows, nil), append(s.wrapped, false)
	}
}

func (s *screen) put(r rune) {
	w := runewidth.RuneWidth(r)
	if s.full || s.col+w > s.width {
		s.wrapped[s.row] = true
		s.newline()
		s.col = 0
	}
	for len(s.rows[s.row]) < s.col+w {
		s.rows[s.row] = append(s.rows[s.row], " ")
	}
	s.rows[s.row][s.col] = string(r)
	if w == 2 {
		s.rows[s.row][s.col+1] = ""
	}
	s.cells++
	if s.col += w; s.col == s.width {
		s.col, s.full = s.width-1, true
	}
}

// resize wraps all lines anew. The cursor stays at the beginning of its line, where the painter leaves it.
func (s *screen) resize(width, height int) {
	old := *s
	s.width, s.height, s.rows, s.wrapped, s.row, s.col = width, height, [][]string{nil}, []bool{false}, 0, 0
	cursor := 0
	for i, row := range old.rows {
		if i == old.row {
			cursor = s.row
		}
		for _, cell := range row {
			for _, r := range cell {
				s.put(r)
			}
		}
		if !old.wrapped[i] && i < len(old.rows)-1 {
			s.newline()
			s.col = 0
		}
	}
	s.row, s.col, s.full = cursor, 0, false
}

// text returns all that was ever written and still stands.
func (s *screen) text() string {
	var b strings.Builder
	for _, row := range s.rows {
		b.WriteString(strings.TrimRight(strings.Join(row, ""), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func TestScreen(t *testing.T) {
	s := newScreen(t, 5, 3)
	fmt.Fprint(s, "abcdefg\r\n你好吗x\r\n\x1b[1A\rZ\x1b[K")
	if got, want := s.text(), "abcde\nfg\n你好\nZ\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.resize(9, 3)
	if got, want := s.text(), "abcdefg\n你好Z\n"; got != want {
		t.Errorf("resized: got %q, want %q", got, want)
	}
}
