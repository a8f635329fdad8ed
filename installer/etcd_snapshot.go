package installer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

// snapshotSuffix is what the record of a snapshot is called beside it: FILE.json.
const snapshotSuffix = ".json"

// snapshotTimeout is how long etcdctl may take: eight gigabytes over a slow disk.
const snapshotTimeout = "1h"

// EtcdSnapshot is FILE.json: what is known of a snapshot of etcd. A restore reads it before anything else.
type EtcdSnapshot struct {
	Format   int              `json:"format"`  // 0
	Cluster  string           `json:"cluster"` // id
	Name     string           `json:"name"`    // of the cluster
	Member   string           `json:"member"`  // that it was taken from
	Members  []SnapshotMember `json:"members"` // of the cluster at that time
	Revision int64            `json:"revision"`
	Keys     int64            `json:"keys"`
	Hash     uint32           `json:"hash"`   // as etcdctl snapshot status says
	Digest   bundle.Digest    `json:"digest"` // of the file
	Size     int64            `json:"size"`   // of the file, bytes
	Etcd     string           `json:"etcd"`   // version of the member
	Time     time.Time        `json:"time"`   // UTC
	Timer    bool             `json:"timer"`  // the timer took it, and takes it away again
}

// SnapshotMember is a member of the cluster that a snapshot is of.
type SnapshotMember struct {
	Name string `json:"name"`
	Peer string `json:"peer"` // "https://20.0.0.100:2380"
}

// SnapshotRequest is what the operator typed.
type SnapshotRequest struct {
	File  string // absolute; "": a name with the time and the revision in the cluster file's directory
	Timer bool   // take away the oldest of the timer's own, too
}

// SnapshotResult is a snapshot that was taken.
type SnapshotResult struct {
	File    string       `json:"file"`
	Record  EtcdSnapshot `json:"record"`
	Removed []string     `json:"removed"` // older ones of the timer's
}

// Snapshot writes what is in etcd, as the member on this host knows it, to a file. The file gets its name only after
// etcdctl has read it in full; one that is there is never replaced.
func (s *Session) Snapshot(ctx context.Context, req SnapshotRequest) (SnapshotResult, error) {
	var res SnapshotResult
	e, err := s.etcdHere(ctx, "etcd snapshot")
	if err != nil {
		return res, err
	}
	defer e.close()
	dir := e.Input.Index.Cluster.Policy.SnapshotDir
	if req.File != "" {
		dir = path.Dir(req.File)
	}
	if dir == "" {
		return res, &UsageError{What: "the cluster file names no directory for snapshots", Hint: InstallPath() + " etcd snapshot /root/etcd.db"}
	}
	if err := s.freeName(req.File); err != nil {
		return res, err
	}
	st, err := e.status(ctx, e.Host)
	if err != nil {
		return res, &EtcdDownError{Err: err}
	}
	if err := makeDirs(s.Host, dir); err != nil {
		return res, fmt.Errorf("making the directory for snapshots: %w", err)
	}
	if err := needSpace(ctx, s.Host, dir, "the snapshot", st.dbSize); err != nil {
		return res, err
	}
	temp := path.Join(dir, fmt.Sprintf(".%s.%s%s", e.Host.EtcdName, s.Now().UTC().Format("20060102T150405.000Z"), snapshotTemp))
	record, err := s.takeSnapshotOf(ctx, e, temp, st)
	record.Timer = req.Timer
	if err == nil {
		res.File, err = s.nameSnapshot(ctx, req.File, dir, temp, record)
	}
	if err != nil {
		return res, errors.Join(err, s.Host.Remove(temp), s.Host.Remove(temp+".part"))
	}
	res.Record, res.Removed = record, []string{}
	if req.Timer {
		res.Removed, err = s.pruneSnapshots(e, dir)
	}
	return res, err
}

// snapshotTemp ends the name of a snapshot that is being taken.
const snapshotTemp = ".offgrid-tmp"

// EtcdDownError is a member on this host that does not answer.
type EtcdDownError struct{ Err error }

func (e *EtcdDownError) Error() string { return "etcd on this host does not answer: " + e.Err.Error() }

func (e *EtcdDownError) Unwrap() error { return e.Err }

// freeName refuses a name that is taken.
func (s *Session) freeName(file string) error {
	if file == "" {
		return nil
	}
	for _, name := range []string{file, file + snapshotSuffix} {
		there, err := host.Exists(s.Host, name)
		if err != nil {
			return err
		}
		if there {
			return &UsageError{What: name + " is there already, and a snapshot is never overwritten", Hint: "choose another name; ls -l " + path.Dir(file)}
		}
	}
	return nil
}

// makeDirs makes a directory for root alone, with its parents. One that is there stays as it is.
func makeDirs(h host.Host, dir string) error {
	info, err := h.Stat(dir)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeDirs(h, path.Dir(dir)); err != nil {
		return err
	}
	return h.Mkdir(dir, host.Meta{Mode: 0o700})
}

// takeSnapshotOf takes a snapshot and reads it again. etcdctl writes it with mode 0600 and syncs it.
func (s *Session) takeSnapshotOf(ctx context.Context, e *etcdHere, temp string, st memberStatus) (EtcdSnapshot, error) {
	r := EtcdSnapshot{Cluster: e.Input.Index.Cluster.ID, Name: e.Input.Index.Cluster.Name, Member: e.Host.EtcdName, Etcd: "v" + st.version,
		Time: s.Now().UTC().Truncate(time.Second), Members: []SnapshotMember{}}
	members, err := askMemberList(ctx, s.Probe, e.credential, e.Host)
	if err != nil {
		return r, err
	}
	for _, m := range members {
		name := m.Name
		if h, ok := hostOfPeer(e.Input.Index, m); ok && name == "" {
			name = h.EtcdName
		}
		if name != "" && len(m.PeerURLs) == 1 {
			r.Members = append(r.Members, SnapshotMember{Name: name, Peer: m.PeerURLs[0]})
		}
	}
	slices.SortFunc(r.Members, func(a, b SnapshotMember) int { return cmp.Compare(a.Name, b.Name) })
	s.Report.Report(progress.Event{Phase: "snapshot", Item: "taking it from " + e.Host.EtcdName, Kind: progress.Start})
	if _, err := s.Host.Run(ctx, nil, e.ctl(snapshotTimeout, "snapshot", "save", temp)...); err != nil {
		return r, fmt.Errorf("taking a snapshot of etcd: %w", err)
	}
	status, err := snapshotStatus(ctx, s.Host, temp)
	if err != nil {
		return r, err
	}
	r.Revision, r.Keys, r.Hash = status.Revision, status.TotalKey, status.Hash
	r.Digest, r.Size, err = host.DigestFile(s.Host, temp)
	s.Report.Report(progress.Event{Phase: "snapshot", Item: "taking it from " + e.Host.EtcdName, Kind: progress.Done})
	return r, err
}

// hostOfPeer finds the planned host of a member by its address: a member that was not started yet has no name.
func hostOfPeer(index *bundle.RoleIndex, m etcdMember) (bundle.Host, bool) {
	for _, h := range hostsWith(index, bundle.RoleEtcd) {
		if slices.Contains(m.PeerURLs, peerURL(h)) {
			return h, true
		}
	}
	return bundle.Host{}, false
}

// fileStatus is what etcdctl 3.4 says of a snapshot.
type fileStatus struct {
	Hash      uint32 `json:"hash"`
	Revision  int64  `json:"revision"`
	TotalKey  int64  `json:"totalKey"`
	TotalSize int64  `json:"totalSize"`
}

// snapshotStatus lets etcdctl read a snapshot: every page of its database is looked at.
func snapshotStatus(ctx context.Context, h host.Host, file string) (fileStatus, error) {
	var st fileStatus
	out, err := h.Run(ctx, nil, etcdctlPath, "snapshot", "status", "--write-out=json", file)
	if err != nil {
		return st, fmt.Errorf("reading the snapshot %s: %s", file, lastLine(err))
	}
	if err := json.Unmarshal(out, &st); err != nil || st.Revision <= 0 {
		return st, fmt.Errorf("reading the snapshot %s: etcdctl says %q", file, strings.TrimSpace(string(out)))
	}
	return st, nil
}

// nameSnapshot gives a finished snapshot its name, its record first: a snapshot is never without one.
func (s *Session) nameSnapshot(ctx context.Context, file, dir, temp string, r EtcdSnapshot) (string, error) {
	if file == "" {
		file = path.Join(dir, fmt.Sprintf("etcd-%s-r%d.db", r.Time.Format("20060102T150405Z"), r.Revision))
		if err := s.freeName(file); err != nil {
			return "", err
		}
	}
	if err := writeJSON(s.Host, file+snapshotSuffix, r, 0o600); err != nil {
		return "", err
	}
	if _, err := s.Host.Run(ctx, nil, "mv", "-n", "-T", temp, file); err != nil {
		return "", errors.Join(fmt.Errorf("naming the snapshot: %w", err), s.Host.Remove(file+snapshotSuffix))
	}
	if left, err := host.Exists(s.Host, temp); err != nil || left {
		return "", errors.Join(err, fmt.Errorf("naming the snapshot: %s is there already", file))
	}
	return file, syncDirectory(s.Host, dir)
}

// syncDirectory makes the names in a directory durable: giving it the mode and owner that it has does so.
func syncDirectory(h host.Host, dir string) error {
	dir, err := followLinks(h, dir)
	if err != nil {
		return err
	}
	meta, err := metaOf(h, dir)
	if err != nil {
		return err
	}
	return h.Mkdir(dir, meta)
}

// readSnapshotRecord reads FILE.json. A missing one is fs.ErrNotExist.
func readSnapshotRecord(h host.Host, file string) (EtcdSnapshot, error) {
	var r EtcdSnapshot
	data, err := host.ReadFile(h, file+snapshotSuffix, saveMax)
	if err != nil {
		return r, err
	}
	if err := bundle.DecodeStrict(data, &r, saveMax); err != nil {
		return r, fmt.Errorf("reading %s: %w", file+snapshotSuffix, err)
	}
	if r.Format != 0 {
		return r, fmt.Errorf("reading %s: format %d is newer than this installer", file+snapshotSuffix, r.Format)
	}
	return r, nil
}

// pruneSnapshots removes the oldest of the snapshots that the timer of this member took, and what a killed one left. What
// it does not know for its own stays.
func (s *Session) pruneSnapshots(e *etcdHere, dir string) ([]string, error) {
	names, err := s.Host.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	type taken struct {
		file string
		time time.Time
	}
	var own []taken
	for _, name := range names {
		file := path.Join(dir, strings.TrimSuffix(name, snapshotSuffix))
		if strings.HasPrefix(name, "."+e.Host.EtcdName+".") && strings.Contains(name, snapshotTemp) {
			if err := s.Host.Remove(path.Join(dir, name)); err != nil {
				return nil, err
			}
			continue
		}
		r, err := readSnapshotRecord(s.Host, file)
		if strings.HasSuffix(name, snapshotSuffix) && err == nil && r.Timer && r.Member == e.Host.EtcdName && r.Cluster == e.Input.Index.Cluster.ID {
			own = append(own, taken{file, r.Time})
		}
	}
	slices.SortFunc(own, func(a, b taken) int { return cmp.Or(b.time.Compare(a.time), cmp.Compare(b.file, a.file)) })
	removed := []string{}
	for _, t := range own[min(len(own), max(e.Input.Index.Cluster.Policy.SnapshotKeep, 1)):] {
		// The record goes last: as long as it is there, a killed removal is gone on with.
		for _, name := range []string{t.file, t.file + snapshotSuffix} {
			if err := s.Host.Remove(name); err != nil {
				return removed, err
			}
		}
		removed = append(removed, t.file)
	}
	return removed, nil
}
