package cli

import (
	"os"

	"golang.org/x/sys/windows"
)

// enableControlSequences makes the console obey control sequences; an error means that it is too old to.
func enableControlSequences(f *os.File) error {
	console := windows.Handle(f.Fd())
	var mode uint32
	if err := windows.GetConsoleMode(console, &mode); err != nil {
		return err
	}
	return windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING)
}
