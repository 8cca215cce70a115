package main

import (
	"fmt"

	"github.com/cove-k8s/cove/pkg/fault"
)

// status is an exit status and what it means.
type status struct {
	exit    int
	heading string
}

func statuses() []status {
	return []status{
		{fault.ExitOK, "all went well"},
		{fault.ExitBug, "a bug in cove, or a command in a node that failed"},
		{fault.ExitUsage, "the command line or the configuration is wrong"},
		{fault.ExitExists, "something exists already, or is not there"},
		{fault.ExitHost, "the host, the engine or an image"},
		{fault.ExitKubernetes, "Kubernetes did not come up, or refused"},
		{fault.ExitDifference, "a difference was found, by \"cove apply --diff\""},
		{fault.ExitInterrupted, "interrupted"},
	}
}

func errorsPage(string) (page, error) {
	p := page{name: "errors.md", title: "Errors and exit statuses"}
	p.para("Every error has a code, which stays the same from version to version, and each code has an exit status. Scripts can match " +
		"both; the words of a message may change. On a terminal the code stands in brackets behind the message, and the hint below it; " +
		"with `-o json` they are fields of the last [event](events.md). `cove kubectl` and `cove exec` end with the status of the command " +
		"that they ran.")
	catalogue := fault.Catalogue()
	var rows [][]string
	for _, s := range statuses() {
		rows = append(rows, []string{fmt.Sprint(s.exit), s.heading})
	}
	p.table([]string{"Exit status", "Meaning"}, rows)
	shown := 0
	for _, s := range statuses() {
		var rows [][]string
		for _, k := range catalogue {
			if k.Exit == s.exit {
				rows = append(rows, []string{code(string(k.Code)), cell(k.Meaning), cell(k.Hint)})
			}
		}
		if len(rows) > 0 {
			p.para("## %d: %s", s.exit, s.heading)
			p.table([]string{"Code", "Meaning", "What to do"}, rows)
		}
		shown += len(rows)
	}
	if shown != len(catalogue) {
		return p, fmt.Errorf("%d codes have an exit status that the page does not know", len(catalogue)-shown)
	}
	return p, nil
}
