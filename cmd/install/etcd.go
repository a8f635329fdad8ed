package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"offgrid/cmd/internal/console"
	"offgrid/installer"
)

func (a *app) newEtcd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "etcd",
		Short: "Save and restore the cluster's database, and exchange its members",
		Long: `Commands for a host that is a member of etcd. RECOVERY.md of the installer tells when to use which.

` + exitText,
		Example: "  ./install etcd snapshot",
		Args:    none,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.newSnapshot(), a.newRestore(), a.newReplace(), a.newAdd())
	return cmd
}

// file makes a path absolute: the installer's commands run in the root directory.
func file(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	full, err := filepath.Abs(args[0])
	if err != nil {
		return "", fmt.Errorf("finding %q: %w", args[0], err)
	}
	return full, nil
}

// upTo is the argument check of a command that takes some.
func upTo(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return &usageError{what + " is missing", "./" + cmd.CommandPath()}
		case len(args) > most:
			return &usageError{fmt.Sprintf("%q is one argument too many", args[most]), "./" + cmd.CommandPath()}
		}
		return nil
	}
}

func (a *app) newSnapshot() *cobra.Command {
	var timer bool
	cmd := &cobra.Command{
		Use:   "snapshot [FILE]",
		Short: "Save the cluster's database to a file",
		Long: `Save all objects of the cluster, as the member of etcd on this host has them, to FILE; without FILE, to
a name with the time in the directory that the cluster file names. Beside it FILE.json is written,
which a restore wants to see: keep both. A file that is there is never overwritten.

` + exitText,
		Example: `  ./install etcd snapshot
  ./install etcd snapshot /mnt/usb/before-the-change.db`,
		Args: upTo(0, 1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.snapshot(cmd.Context(), args, timer) },
	}
	cmd.Flags().BoolVar(&timer, "timer", false, "for the timer: take away the oldest of the timer's own snapshots afterwards")
	return cmd
}

func (a *app) snapshot(ctx context.Context, args []string, timer bool) error {
	s, err := a.session(timer)
	if err != nil {
		return err
	}
	name, err := file(args)
	if err != nil {
		return err
	}
	res, err := s.Snapshot(ctx, installer.SnapshotRequest{File: name, Timer: timer})
	if err != nil {
		return err
	}
	a.console.Say("Saved %s (%s, revision %d, %d keys) from %s.", res.File, console.Bytes(res.Record.Size), res.Record.Revision, res.Record.Keys, res.Record.Member)
	for _, old := range res.Removed {
		a.console.Say("Removed %s.", old)
	}
	if !timer {
		a.say("", "Keep "+res.File+".json with it, and keep both away from this host. Secrets in it can be read only with the encryption key of the cluster: "+
			"/opt/kubernetes/cfg/encryption.yaml of a master, which is also in the directory pki/ of the machine that made the bundles.")
	}
	return a.printJSON(res)
}

func (a *app) newRestore() *cobra.Command {
	var req installer.RestoreRequest
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the cluster's database by a snapshot, on every member",
		Long: `Replace the data of the member of etcd on this host by a snapshot. It is run on every member, with the
same file, while etcd and the API servers are stopped everywhere; what still runs is named, with all
that is to be done in order. The data from before is kept beside the new one. It may be cut off at
any moment and run again.

` + exitText,
		Example: "  ./install etcd restore /data/backup/etcd-20260301T000000Z-r51234.db",
		Args:    upTo(1, 1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if req.File, err = file(args); err != nil {
				return err
			}
			return a.restore(cmd.Context(), req)
		},
	}
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	cmd.Flags().StringSliceVar(&req.Members, "members", nil, "members of the restored cluster, the same on each of them (default: those of the snapshot)")
	cmd.Flags().IntVar(&req.Again, "again", 0, "restore the same snapshot once more: 2 the second time, the same on every member")
	cmd.Flags().BoolVar(&req.Unrecorded, "unrecorded", false, "the file has no FILE.json: take it without knowing whose it is")
	return cmd
}

func (a *app) restore(ctx context.Context, req installer.RestoreRequest) error {
	s, err := a.session(false)
	if err != nil {
		return err
	}
	job, err := s.PrepareRestore(ctx, req)
	var refused *installer.RestoreRefusedError
	if errors.As(err, &refused) {
		a.console.Say("A restore, from its beginning to its end:")
		a.numbered(refused.Steps)
	}
	if err != nil {
		return err
	}
	defer job.Close()
	if err := a.askRestore(ctx, job); err != nil {
		return err
	}
	res, err := s.Restore(ctx, job)
	if err != nil {
		return err
	}
	if !job.Already {
		a.say("", "The data of "+job.Member+" is the snapshot's now. The data from before is in "+res.Old+"; when nobody needs it any more: rm -rf "+res.Old)
	}
	for _, why := range res.Waiting {
		a.say("", why)
	}
	a.console.Say("What is left to do:")
	a.numbered(res.Next)
	return a.printJSON(res)
}

// askRestore says what will be lost.
func (a *app) askRestore(ctx context.Context, job *installer.RestoreJob) error {
	if job.Already {
		a.say("", fmt.Sprintf("This snapshot was restored on %s before (the data from then is in %s): its data stays, etcd is started. To restore it once more, stop etcd and "+
			"the API servers everywhere, and give every member the same higher number: --again 2", job.Member, job.Old))
		return nil
	}
	r := job.Record
	when := "an unknown time"
	if !r.Time.IsZero() {
		when = r.Time.Format("2006-01-02 15:04:05 UTC")
	}
	var names []string
	for _, m := range job.Members {
		names = append(names, m.Name)
	}
	a.say("", fmt.Sprintf("The snapshot is of %s, revision %d, %d keys. Everything that was changed in the cluster since then is LOST: objects made later are gone, "+
		"objects deleted later come back, and so do their pods. It is restored on %s; now on %s. The data that is there now is kept as %s.",
		when, r.Revision, r.Keys, strings.Join(names, ", "), job.Member, job.Old))
	return a.ask(ctx, "Replace the data of "+job.Member+"?")
}

// numbered prints steps for people. A command in them is never broken.
func (a *app) numbered(steps []string) {
	for i, step := range steps {
		where, command, ok := strings.Cut(step, ": ")
		if !ok {
			a.lines(wrap(fmt.Sprintf("%2d. ", i+1), "    ", step))
			continue
		}
		a.lines(wrap(fmt.Sprintf("%2d. ", i+1), "    ", where+":"))
		a.console.Say("  do: %s", command)
	}
}

func (a *app) newReplace() *cobra.Command {
	var by string
	cmd := &cobra.Command{
		Use:   "replace NAME",
		Short: "Put a new member of etcd in the place of a dead one",
		Long: `Take the dead member NAME of etcd out of the cluster and let a new one in: the same host with new disks,
another machine with its address, or with --by a spare host of the cluster file. It is run on a host
whose member works, and refused when NAME answers or no majority would be left.

` + exitText,
		Example: `  ./install etcd replace etcd03
  ./install etcd replace etcd03 --by etcd04`,
		Args: upTo(1, 1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.members(cmd.Context(), installer.MemberRequest{Remove: args[0], Add: by})
		},
	}
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	cmd.Flags().StringVar(&by, "by", "", "spare member that takes its place (default: itself, with empty disks)")
	return cmd
}

func (a *app) newAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Let a spare member of etcd in",
		Long: `Let a member in that the cluster file plans as spare. It is run on a host whose member works.

` + exitText,
		Example: "  ./install etcd add etcd04",
		Args:    upTo(1, 1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.members(cmd.Context(), installer.MemberRequest{Add: args[0]})
		},
	}
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) members(ctx context.Context, req installer.MemberRequest) error {
	s, err := a.session(false)
	if err != nil {
		return err
	}
	job, err := s.PrepareMembers(ctx, req)
	if err != nil {
		return err
	}
	defer job.Close()
	if job.Remove != "" || job.Add != "" {
		question := "Let " + job.Add + " on " + job.Host + " (" + job.IP + ") in as a member of etcd?"
		if job.Remove != "" {
			question = "Take " + job.Remove + " out of etcd for good, and let " + job.Add + " on " + job.Host + " (" + job.IP + ") in?"
		}
		if err := a.ask(ctx, question); err != nil {
			return err
		}
		if err := s.ChangeMembers(ctx, job); err != nil {
			return err
		}
	}
	a.say("", "etcd waits for its member on "+job.Host+". There, with the bundles of this cluster beside the installer:")
	a.console.Say("  do: ./install --role %s --ip %s", strings.Join(job.Roles, ","), job.IP)
	a.say("", "Where it is installed already and waits, it goes on by itself.")
	return a.printJSON(job)
}
