package installer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

const kindFlush = "flush"

// FlushStep empties the packet filter's tables once, before anything of ours has put rules there, and saves what was in
// them. Policies stay. It never runs beside docker or kubelet, and never a second time: their rules are in the same tables.
type FlushStep struct{}

// flushBefore is a FlushStep's begin record.
type flushBefore struct {
	Rules string        `json:"rules,omitempty"` // what iptables-save printed
	Apart bundle.Digest `json:"apart"`           // of the rules in before/HEX, when they are too many for a record
}

// defaultTables is each table as the kernel makes it, in iptables-restore's words.
func defaultTables() []struct{ name, text string } {
	return []struct{ name, text string }{
		{"filter", "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"},
		{"nat", "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"},
		{"mangle", "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"},
	}
}

// flushedMark exists from the moment the tables were emptied.
func flushedMark() string { return path.Join(StateDir, "flushed") }

// ID implements Step.
func (s *FlushStep) ID() string { return kindFlush + ":iptables" }

// Line implements Step.
func (s *FlushStep) Line() Line {
	return Line{Verb: "save and empty", Object: "the iptables tables filter, nat and mangle"}
}

// Check implements Step.
func (s *FlushStep) Check(ctx context.Context, h host.Host) (Status, error) {
	done, err := host.Exists(h, flushedMark())
	if err != nil || done {
		return Status{State: Satisfied, Why: "it was done once and is never repeated"}, err
	}
	user, err := rulesInUse(ctx, h)
	if err != nil || user != "" {
		return Status{State: Satisfied, Why: fmt.Sprintf("skipped: %s runs and has rules of its own there", user)}, err
	}
	if _, err := h.Run(ctx, nil, "iptables-save"); notInstalled(err) {
		return Status{State: Satisfied, Why: "this host has no iptables"}, nil
	} else if err != nil {
		return Status{}, err
	}
	return Status{State: Needed}, nil
}

// rulesInUse returns the unit that has rules in the tables, "" when there is none.
func rulesInUse(ctx context.Context, h host.Host) (string, error) {
	for _, unit := range []string{"docker.service", "kubelet.service"} {
		u, err := host.ShowUnit(ctx, h, unit)
		if err != nil {
			return "", err
		}
		if u.Up() {
			return unit, nil
		}
	}
	return "", nil
}

// Before implements Undoer.
func (s *FlushStep) Before(ctx context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	rules, err := h.Run(ctx, nil, "iptables-save")
	if err != nil {
		return nil, err
	}
	if len(rules) <= inlineMax {
		return json.Marshal(flushBefore{Rules: string(rules)})
	}
	b := flushBefore{Apart: bundle.DigestOf(rules)}
	if err := stateDir(h, "before"); err != nil {
		return nil, err
	}
	if err := h.Write(beforePath(b.Apart), bytes.NewReader(rules), host.Meta{Mode: 0o600}); err != nil {
		return nil, err
	}
	return json.Marshal(b)
}

// Do implements Step. -w waits for whoever else holds the tables' lock.
func (s *FlushStep) Do(ctx context.Context, h host.Host) error {
	for _, table := range defaultTables() {
		for _, flag := range []string{"-F", "-X"} {
			if _, err := h.Run(ctx, nil, "iptables", "-w", "-t", table.name, flag); err != nil {
				return err
			}
		}
	}
	return h.Write(flushedMark(), strings.NewReader(""), host.Meta{Mode: 0o600})
}

// undoFlush loads the saved rules. A table that was not in use before gets what the kernel makes it with, which also
// removes what docker and kube-proxy left. With one of them still running, nothing is touched.
func undoFlush(ctx context.Context, u Undoing) error {
	var b flushBefore
	if err := u.first(&b); err != nil {
		return err
	}
	user, err := rulesInUse(ctx, u.Host)
	if err != nil {
		return err
	}
	if user != "" {
		u.note("firewall rules stay as they are: %s runs", user)
		return nil
	}
	rules := b.Rules
	if !b.Apart.IsZero() {
		data, err := host.ReadFile(u.Host, beforePath(b.Apart), 64<<20)
		if err != nil {
			return err
		}
		rules = string(data)
	}
	for _, table := range defaultTables() {
		if !strings.Contains("\n"+rules, "\n*"+table.name+"\n") {
			rules += table.text
		}
	}
	if _, err := u.Host.Run(ctx, strings.NewReader(rules), "iptables-restore"); err != nil {
		return err
	}
	return u.Host.Remove(flushedMark())
}
