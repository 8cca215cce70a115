package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestAccepts(t *testing.T) {
	for line, want := range map[string]bool{
		"version":               true,
		"version -o json":       true,
		"version --quiet":       true,
		"--help":                true,
		"completion bash":       true,
		"versio":                false,
		"version --nope":        false,
		"version extra":         false,
		"version -o xml":        false,
		"completion nosuch":     false,
		"version -q -v":         false,
		"--docker-context":      false,
		"help version":          true,
		"export":                true,
		"export DIR":            true,
		"export ca":             true,
		"addon DIR":             false,
		"--docker-context x ls": rootCommand().Commands() != nil && accepts([]string{"ls"}) == nil,
	} {
		if got := accepts(strings.Fields(line)); (got == nil) != want {
			t.Errorf("cove %s: got %v", line, got)
		}
	}
}

func TestCommands(t *testing.T) {
	tests := map[string][]string{
		"cove create dev":                         {"cove create dev"},
		"$ cove create dev":                       {"cove create dev"},
		"COVE_CLUSTER=a bin/cove status; ls":      {"cove status"},
		"docker save x | cove image load -":       {"cove image load -"},
		`cove create --image "a b" # and so on`:   {"cove create --image a b"},
		"kubectl get nodes":                       nil,
		"source <(cove completion bash)":          {"cove completion bash"},
		"cove list -o json > x.json && cove list": {"cove list -o json", "cove list"},
		"if ! cove status dev; then exit 1; fi":   {"cove status dev"},
		"make up":                                 nil,
		"covering all":                            nil,
	}
	for line, want := range tests {
		var got []string
		for _, words := range commands(line) {
			got = append(got, strings.Join(words, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	page := "a\n```sh\n# note\ncove create \\\n  --workers 2\n```\n```console\n$ cove list\ncove is said\n```\n```yaml\ncove: x\n```\nSay `cove list`.\n"
	if got := shellLines(page); !slices.Equal(got, []string{"cove create  --workers 2", "$ cove list"}) {
		t.Errorf("lines of a page: %q", got)
	}
	if got := inlineCode(withoutBlocks(page)); !slices.Equal(got, []string{"cove list"}) {
		t.Errorf("inline code of a page: %q", got)
	}
}

// accepts says whether cove takes the arguments: the command, its flags and their values, the number of arguments.
func accepts(args []string) error {
	root := rootCommand()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); errors.Is(err, pflag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if help, err := cmd.Flags().GetBool("help"); err == nil && help {
		return nil
	}
	left := cmd.Flags().Args()
	if isGroup(cmd) && len(left) > 0 {
		return fmt.Errorf("%q has no command %q", cmd.CommandPath(), left[0])
	}
	if err := cmd.ValidateArgs(left); err != nil {
		return err
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return err
	}
	return cmd.ValidateFlagGroups()
}

// shellLines returns the lines of a page's blocks that are for a shell; of a transcript, those that were typed.
func shellLines(text string) []string {
	var out []string
	kind, joined := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if fence, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); ok {
			if kind == "" {
				kind = fence + " " // never empty within a block
			} else {
				kind = ""
			}
			continue
		}
		switch strings.TrimSpace(kind) {
		case "console":
			if !strings.HasPrefix(line, "$ ") && joined == "" {
				continue
			}
		case "sh", "bash", "shell":
		default:
			continue
		}
		if rest, ok := strings.CutSuffix(line, `\`); ok {
			joined += rest
			continue
		}
		line, joined = joined+strings.TrimPrefix(line, map[bool]string{true: " "}[joined != ""]), ""
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

// withoutBlocks returns a page without its blocks of code.
func withoutBlocks(text string) string {
	return regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(text, "")
}

// inlineCode returns what stands between backquotes.
func inlineCode(text string) []string {
	var out []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		out = append(out, strings.Join(strings.Fields(m[1]), " "))
	}
	return out
}

// commands returns the calls of cove in a line for a shell, as words.
func commands(line string) [][]string {
	var calls [][]string
	for _, words := range split(line) {
		for len(words) > 0 && (strings.Contains(words[0], "=") || slices.Contains([]string{"$", "time", "sudo", "if", "!", "then", "else", "do", "while", "until", "exec"}, words[0])) {
			words = words[1:]
		}
		if len(words) > 0 && (words[0] == "cove" || strings.HasSuffix(words[0], "bin/cove")) {
			calls = append(calls, append([]string{"cove"}, words[1:]...))
		}
	}
	return calls
}

// splitter splits a line for a shell into commands, and these into words, as far as pages need it.
type splitter struct {
	commands   [][]string
	words      []string
	word       string
	begun      bool // a word has
	quote      rune // that the word is within
	redirected bool // the next word is a file
}

func split(line string) [][]string {
	s := &splitter{}
	for _, r := range line {
		if s.quote == 0 && r == '#' && !s.begun {
			break
		}
		s.take(r)
	}
	s.endCommand()
	return s.commands
}

func (s *splitter) take(r rune) {
	switch {
	case s.quote != 0 && r == s.quote:
		s.quote = 0
	case s.quote != 0:
		s.word += string(r)
	case r == '"' || r == '\'':
		s.quote, s.begun = r, true
	case r == ' ' || r == '\t':
		s.endWord()
	case strings.ContainsRune("|&;()", r):
		s.endCommand()
	case r == '>' || r == '<':
		s.endWord()
		s.redirected = true
	default:
		s.word, s.begun = s.word+string(r), true
	}
}

func (s *splitter) endWord() {
	if s.begun && !s.redirected {
		s.words = append(s.words, s.word)
	}
	s.redirected = s.redirected && !s.begun
	s.word, s.begun = "", false
}

func (s *splitter) endCommand() {
	s.endWord()
	if len(s.words) > 0 {
		s.commands = append(s.commands, s.words)
	}
	s.words, s.redirected = nil, false
}
