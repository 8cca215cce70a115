// Package envfile reads environment files and splits their values into words the way systemd does for EnvironmentFile=
// and ExecStart=. It runs no shell and expands nothing.
package envfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Load reads the file at path. A file that does not exist has no variables (systemd's "-" prefix).
func Load(path string) (map[string]string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the caller's file, that is the point
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read an environment file: %w", err)
	}
	return Parse(string(text)), nil
}

type state int

const (
	preKey state = iota
	inKey
	preValue
	inValue
	valueEscape
	singleQuoted
	doubleQuoted
	doubleEscape
	comment
	commentEscape
)

// parser is systemd's parse_env_file_internal (src/basic/env-file.c): the same states, so the same corner cases. Quotes
// count only where a value or a part of it begins; in the middle of a bare word they are ordinary characters.
type parser struct {
	state      state
	key, value strings.Builder
	trailing   int // length of value up to its last character that is no bare white space
	out        map[string]string
}

// Parse returns the variables in text. Lines that assign nothing are skipped; a later assignment wins.
func Parse(text string) map[string]string {
	p := &parser{out: map[string]string{}}
	for _, c := range []byte(text) {
		p.step(c)
	}
	if p.state != preKey && p.state != inKey && p.state != comment && p.state != commentEscape {
		p.finish()
	}
	return p.out
}

func (p *parser) step(c byte) {
	switch p.state {
	case preKey, inKey:
		p.stepKey(c)
	case preValue, inValue, valueEscape:
		p.stepValue(c)
	case singleQuoted, doubleQuoted, doubleEscape:
		p.stepQuoted(c)
	case comment:
		switch c {
		case '\\':
			p.state = commentEscape
		case '\n', '\r':
			p.state = preKey
		}
	case commentEscape:
		p.state = comment
	}
}

func (p *parser) stepKey(c byte) {
	switch {
	case p.state == preKey && (c == '#' || c == ';'):
		p.state = comment
	case c == '\n' || c == '\r':
		p.state = preKey
		p.key.Reset()
	case c == '=' && p.state == inKey:
		p.state = preValue
	case p.state == preKey && isSpace(c):
	default:
		p.state = inKey
		p.key.WriteByte(c)
	}
}

func (p *parser) stepValue(c byte) {
	switch {
	case p.state == valueEscape:
		p.state = inValue
		if c != '\n' && c != '\r' { // a line that goes on
			p.keep(c)
		}
	case c == '\n' || c == '\r':
		p.finish()
	case c == '\\':
		p.state = valueEscape
	case p.state == preValue && c == '\'':
		p.state = singleQuoted
	case p.state == preValue && c == '"':
		p.state = doubleQuoted
	case p.state == preValue && isSpace(c):
	default:
		p.state = inValue
		p.value.WriteByte(c)
		if !isSpace(c) {
			p.trailing = p.value.Len()
		}
	}
}

func (p *parser) stepQuoted(c byte) {
	switch {
	case p.state == doubleEscape:
		p.state = doubleQuoted
		if strings.IndexByte("\"\\`$", c) >= 0 {
			p.keep(c)
		} else if c != '\n' {
			p.keep('\\')
			p.keep(c)
		}
	case p.state == singleQuoted && c == '\'', p.state == doubleQuoted && c == '"':
		p.state = preValue
	case p.state == doubleQuoted && c == '\\':
		p.state = doubleEscape
	default:
		p.keep(c)
	}
}

func (p *parser) keep(c byte) {
	p.value.WriteByte(c)
	p.trailing = p.value.Len()
}

func (p *parser) finish() {
	if key := strings.TrimRight(p.key.String(), " \t"); key != "" {
		p.out[key] = p.value.String()[:p.trailing]
	}
	p.key.Reset()
	p.value.Reset()
	p.trailing = 0
	p.state = preKey
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// Words splits a variable's value as systemd does for an unbraced $VARIABLE in ExecStart=: at white space, where quotes
// keep words together and are removed. A quote that is never closed runs to the end.
func Words(value string) []string {
	var w splitter
	for _, c := range []byte(value) {
		w.step(c)
	}
	w.end()
	return w.words
}

// splitter is in a word when open, and in the given kind of quotes within it.
type splitter struct {
	words         []string
	word          strings.Builder
	open, escaped bool
	quote         byte
}

func (w *splitter) step(c byte) {
	switch {
	case w.escaped:
		w.escaped = false
		w.keep(c)
	case c == '\\' && w.quote != '\'':
		w.escaped = true
	case w.quote != 0 && c == w.quote:
		w.quote = 0
	case w.quote != 0:
		w.keep(c)
	case c == '\'' || c == '"':
		w.quote, w.open = c, true
	case strings.IndexByte(" \t\r\n", c) >= 0:
		w.end()
	default:
		w.keep(c)
	}
}

func (w *splitter) keep(c byte) {
	w.word.WriteByte(c)
	w.open = true
}

func (w *splitter) end() {
	if w.open {
		w.words = append(w.words, w.word.String())
		w.word.Reset()
		w.open = false
	}
}
