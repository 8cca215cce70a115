package docker

import (
	"bytes"
	"io"
)

// unixLines writes to w what is written to it, with the line ends of a terminal, CR LF, turned into LF.
type unixLines struct {
	w  io.Writer
	cr bool // a CR came last and is held back
}

func (u *unixLines) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p)+1)
	rest := p
	if u.cr && len(p) > 0 {
		if p[0] != '\n' {
			out = append(out, '\r')
		}
		u.cr = false
	}
	if bytes.HasSuffix(rest, []byte{'\r'}) {
		u.cr, rest = true, rest[:len(rest)-1]
	}
	out = append(out, bytes.ReplaceAll(rest, []byte("\r\n"), []byte("\n"))...)
	if _, err := u.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
