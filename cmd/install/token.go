package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"offgrid/installer"
)

func (a *app) newToken() *cobra.Command {
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a new token with which nodes join",
		Long: `Make a bootstrap token known to the cluster and print it, once. It is run on a master. A node needs it
when the token in its bundle has expired; whoever has it can join as a node until it expires.

` + exitText,
		Example: "  ./install token --ttl 24h",
		Args:    none,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.mint(cmd.Context(), life) },
	}
	cmd.Flags().DurationVar(&life, "ttl", 24*time.Hour, "how long it lives: 30m, 24h")
	return cmd
}

func (a *app) mint(ctx context.Context, life time.Duration) error {
	s, err := a.session(false)
	if err != nil {
		return err
	}
	m, err := s.MintToken(ctx, life)
	if err != nil {
		return err
	}
	a.console.Say("%s", m.Token)
	a.console.Say("")
	a.console.Say("It is valid until %s and is not shown again. On the new node:", m.Expires.Format("2006-01-02 15:04:05 UTC"))
	a.console.Say("  do: ./install --role node --ip IP --token-file -   (type the token, then Ctrl-D)")
	a.console.Say("and where the install waits for it already:")
	a.console.Say("  do: %s resume --token-file -", installer.InstallPath())
	return a.printJSON(m)
}

// readToken reads the file of --token-file; "-" is standard input. A token on the command line could be seen by everybody.
func (a *app) readToken(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("reading the token: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, 4096))
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	return installer.CheckToken(string(data))
}
