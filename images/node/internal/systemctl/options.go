package systemctl

import (
	"fmt"
	"strconv"
	"strings"
)

// defaultLines is how many lines of the log status shows.
const defaultLines = 10

// parse splits the arguments into options and words. Options that only matter to a systemd (--no-block, --no-pager, --system,
// …) are taken and have no effect: everything here is synchronous and unpaged.
func parse(args []string) (options, []string, error) {
	opts := options{lines: defaultLines}
	var words []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return opts, append(words, args[i+1:]...), nil
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			words = append(words, arg)
			continue
		}
		name, value, inline := split(arg)
		if takesValue(name) && !inline {
			if i++; i >= len(args) {
				return opts, nil, fmt.Errorf("option '%s' requires an argument", name)
			}
			value = args[i]
		}
		if err := opts.set(name, value); err != nil {
			return opts, nil, err
		}
	}
	return opts, words, nil
}

// split separates an option from a value that is written together with it: --lines=5, -n5.
func split(arg string) (name, value string, inline bool) {
	if strings.HasPrefix(arg, "--") {
		return strings.Cut(arg, "=")
	}
	if len(arg) > 2 && takesValue(arg[:2]) {
		return arg[:2], arg[2:], true
	}
	return arg, "", false
}

func takesValue(name string) bool {
	switch name {
	case "-n", "--lines", "-p", "--property", "-P", "-o", "--output", "-t", "--type", "--state", "--job-mode", "-s", "--signal":
		return true
	}
	return false
}

func (o *options) set(name, value string) error {
	switch name {
	case "-q", "--quiet":
		o.quiet = true
	case "--value":
		o.value = true
	case "--now":
		o.now = true
	case "-P":
		o.value = true
		o.properties = append(o.properties, strings.Split(value, ",")...)
	case "-p", "--property":
		o.properties = append(o.properties, strings.Split(value, ",")...)
	case "-n", "--lines":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return fmt.Errorf("failed to parse lines %q", value)
		}
		o.lines = n
	case "-o", "--output", "-t", "--type", "--state", "--job-mode", "-s", "--signal", "-l", "--full", "-a", "--all", "-f", "--force",
		"--no-block", "--no-pager", "--no-legend", "--no-ask-password", "--no-wall", "--no-reload", "--plain", "--system", "--wait", "-r":
	default:
		return fmt.Errorf("unrecognized option '%s'", name)
	}
	return nil
}
