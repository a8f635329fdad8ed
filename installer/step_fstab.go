package installer

import (
	"bytes"
	"context"
	"encoding/json"

	"offgrid/installer/host"
)

const kindFstab = "fstab"

// fstabPath is the table of file systems; fstabMark is what we put before a line of it.
const (
	fstabPath = "/etc/fstab"
	fstabMark = "#offgrid# "
)

// FstabSwapStep turns the swap lines of /etc/fstab into comments with our mark, so that no boot brings swap back.
type FstabSwapStep struct{}

// ID implements Step.
func (s *FstabSwapStep) ID() string { return kindFstab + ":swap" }

// Line implements Step.
func (s *FstabSwapStep) Line() Line {
	return Line{Verb: "comment out", Object: "swap in " + fstabPath, Why: "kubelet refuses to run beside swap"}
}

// Check implements Step.
func (s *FstabSwapStep) Check(_ context.Context, h host.Host) (Status, error) {
	return checkEdit(h, fstabPath, commentSwap)
}

// Before implements Undoer.
func (s *FstabSwapStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	return beforeEdit(h, fstabPath, commentSwap, nil)
}

// Do implements Step.
func (s *FstabSwapStep) Do(_ context.Context, h host.Host) error {
	return doEdit(h, fstabPath, commentSwap)
}

// commentSwap marks every line whose third field is "swap". A table that is not there stays so.
func commentSwap(now []byte) ([]byte, error) {
	if now == nil {
		return nil, nil
	}
	out := []byte{}
	for _, line := range textLines(now) {
		fields := bytes.Fields(line)
		if len(fields) >= 3 && fields[0][0] != '#' && string(fields[2]) == "swap" {
			out = append(out, fstabMark...)
		}
		out = append(out, line...)
	}
	return out, nil
}

// undoFstab takes our marks away.
func undoFstab(_ context.Context, u Undoing) error {
	return undoEdit(u, fstabPath, func(now []byte, _ json.RawMessage) ([]byte, error) {
		out := []byte{}
		for _, line := range textLines(now) {
			out = append(out, bytes.TrimPrefix(line, []byte(fstabMark))...)
		}
		return out, nil
	})
}
