package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/manifests"
)

func newInit(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a cluster.yaml with an example host table",
		Long: `Write DIR/cluster.yaml, with an example host table and every setting explained.
DIR is made when it is not there; a cluster.yaml that is there is never
replaced.

With --json: cluster, the path of the file.

` + exitText,
		Example: "  bundle init mysite",
		Args:    atMost(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return a.init(dir)
		},
	}
}

func (a *app) init(dir string) error {
	example, err := manifests.ClusterExample()
	if err != nil {
		return err
	}
	path, err := builder.InitSite(dir, example)
	if errors.Is(err, fs.ErrExist) {
		return &refusal{err, "edit it, or choose another directory"}
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return &refusal{err, "a file is in the way: choose another directory"}
	}
	if err != nil {
		return err
	}
	a.console.Say("wrote %s", path)
	next := "bundle lock"
	if clean := filepath.Clean(dir); clean != "." {
		next = fmt.Sprintf("cd %s && bundle lock", quoted(clean))
	}
	a.console.Say("Edit its hosts, addresses and policy, then run: %s", next)
	return a.printJSON(map[string]string{"cluster": path})
}

// quoted writes a path so that a shell takes it as one word.
func quoted(path string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./+:@%-]+$`).MatchString(path) && !strings.HasPrefix(path, "-") {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
