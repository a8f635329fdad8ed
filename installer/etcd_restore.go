package installer

import (
	"cmp"
	"context"
	"crypto/sha1" // etcd's own way to make ids: nothing is protected by it
	"encoding/binary"
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

// restoreRecord is etcd-restore.json in the state directory: the restore that this member is in the middle of, or had last.
type restoreRecord struct {
	Format   int           `json:"format"` // 0
	Digest   bundle.Digest `json:"digest"` // of the snapshot
	Token    string        `json:"token"`  // of the restored cluster
	Old      string        `json:"old"`    // where the data from before is kept
	Began    time.Time     `json:"began"`
	Finished bool          `json:"finished"` // the data is in place and etcd was started with it
}

func restorePath() string { return path.Join(StateDir, "etcd-restore.json") }

// RestoreRequest is what the operator typed.
type RestoreRequest struct {
	File       string   // absolute
	Members    []string // names; empty: those that the snapshot's record names
	Again      int      // from 2 on: the same snapshot once more, with the same number on every member
	Unrecorded bool     // the file has no record beside it
}

// RestoreJob is a restore of this member that may begin. Close it.
type RestoreJob struct {
	File    string           `json:"file"`
	Member  string           `json:"member"`
	Members []SnapshotMember `json:"members"` // of the restored cluster
	Record  EtcdSnapshot     `json:"record"`  // only Digest, Revision and Size when there was no record
	Old     string           `json:"old"`     // where the data that is there now is kept
	Already bool             `json:"already"` // this snapshot has been restored on this member before

	etcd   *etcdHere
	token  string
	places restorePlaces
	began  time.Time
}

// Close closes what the job reads.
func (j *RestoreJob) Close() { j.etcd.close() }

// restoreParts are what a member's data directory is exchanged by: two renames, so both are on one file system.
type restorePlaces struct {
	live string // what etcd reads
	part string // where etcdctl restores to; a killed one is left half done
	done string // part, when it is complete
	next string // what becomes live: done, or a directory in it
	old  string // what was live
}

// PrepareRestore looks whether a snapshot may be restored on this member, and changes nothing. Errors are *UsageError,
// *RestoreRefusedError or what went wrong.
func (s *Session) PrepareRestore(ctx context.Context, req RestoreRequest) (*RestoreJob, error) {
	e, err := s.etcdHere(ctx, "etcd restore "+req.File)
	if err != nil {
		return nil, err
	}
	j := &RestoreJob{File: req.File, Member: e.Host.EtcdName, etcd: e}
	err = s.readSnapshotFile(ctx, j, req)
	if err == nil {
		err = j.chooseMembers(req)
	}
	if err == nil {
		err = s.placeRestore(j, req)
	}
	if err == nil {
		err = s.guardRestore(ctx, j)
	}
	if err == nil && !j.Already {
		// A member makes its log of two files of 64 MB as it starts.
		err = needSpace(ctx, s.Host, existingDir(s.Host, path.Dir(j.places.part)), "the restored database", j.Record.Size+128<<20)
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return j, nil
}

// existingDir is the first directory above name that is there.
func existingDir(h host.Host, name string) string {
	for name != "/" {
		if there, err := host.Exists(h, name); err == nil && there {
			break
		}
		name = path.Dir(name)
	}
	return name
}

// readSnapshotFile compares a snapshot with its record.
func (s *Session) readSnapshotFile(ctx context.Context, j *RestoreJob, req RestoreRequest) error {
	digest, size, err := host.DigestFile(s.Host, j.File)
	if err != nil {
		return &UsageError{What: "reading the snapshot: " + err.Error(), Hint: "ls -l " + path.Dir(j.File)}
	}
	record, err := readSnapshotRecord(s.Host, j.File)
	if errors.Is(err, fs.ErrNotExist) && req.Unrecorded {
		record, err = EtcdSnapshot{Digest: digest, Size: size, Cluster: j.etcd.Input.Index.Cluster.ID}, nil
	}
	index := j.etcd.Input.Index
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &UsageError{What: j.File + " has no record beside it: " + j.File + snapshotSuffix + " is not there, so nobody knows whether it is whole and of this cluster",
			Hint: "copy the record, too; or, for a snapshot that was taken by hand: " + InstallPath() + " etcd restore --unrecorded " + j.File}
	case err != nil:
		return err
	case record.Digest != digest:
		return &UsageError{What: fmt.Sprintf("%s is damaged, or not the file that its record is about: its sha256 is %s, recorded is %s", j.File, digest.Short(), record.Digest.Short()),
			Hint: "copy it again from where it was taken (member " + record.Member + "), and compare: sha256sum " + j.File}
	case record.Cluster != index.Cluster.ID:
		return &UsageError{What: fmt.Sprintf("%s is of another cluster, %s (id %s); this host belongs to %s (id %s)", j.File, record.Name, record.Cluster, index.Cluster.Name, index.Cluster.ID),
			Hint: "ls -l " + index.Cluster.Policy.SnapshotDir}
	}
	status, err := snapshotStatus(ctx, s.Host, j.File)
	if err != nil {
		return err
	}
	if req.Unrecorded && record.Revision == 0 {
		record.Revision, record.Keys, record.Hash = status.Revision, status.TotalKey, status.Hash
	}
	j.Record = record
	return nil
}

// chooseMembers decides who is in the restored cluster. All members must decide the same, so it follows from the file.
func (j *RestoreJob) chooseMembers(req RestoreRequest) error {
	index := j.etcd.Input.Index
	j.Members = slices.Clone(j.Record.Members)
	if len(req.Members) > 0 {
		j.Members = nil
		for _, name := range req.Members {
			h, ok := etcdHost(index, name)
			if !ok {
				return &UsageError{What: fmt.Sprintf("%q is no planned member of etcd", name), Hint: "members are: " + memberNames(hostsWith(index, bundle.RoleEtcd))}
			}
			j.Members = append(j.Members, SnapshotMember{Name: h.EtcdName, Peer: peerURL(h)})
		}
	}
	if len(j.Members) == 0 {
		for _, h := range etcdMembers(index) {
			j.Members = append(j.Members, SnapshotMember{Name: h.EtcdName, Peer: peerURL(h)})
		}
	}
	slices.SortFunc(j.Members, func(a, b SnapshotMember) int { return cmp.Compare(a.Name, b.Name) })
	if !slices.Contains(j.Members, SnapshotMember{Name: j.Member, Peer: peerURL(j.etcd.Host)}) {
		var names []string
		for _, m := range j.Members {
			names = append(names, m.Name)
		}
		return &UsageError{What: fmt.Sprintf("%s is not among the members that the snapshot is restored to: %s", j.Member, strings.Join(names, ", ")),
			Hint: "restore it on those, then: " + InstallPath() + " etcd add " + j.Member + "; or name the members, the same on each of them: --members"}
	}
	return nil
}

func memberNames(hosts []bundle.Host) string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.EtcdName
	}
	return strings.Join(names, ", ")
}

// placeRestore finds the names on the disk. Those of a restore that was begun are taken again.
func (s *Session) placeRestore(j *RestoreJob, req RestoreRequest) error {
	j.token = "offgrid-restore-" + j.Record.Digest.Hex()[:16]
	if req.Again > 1 {
		j.token += fmt.Sprintf("-%d", req.Again)
	}
	j.began = s.Now().UTC().Truncate(time.Second)
	record, err := s.lastRestore()
	if err != nil {
		return err
	}
	if record != nil && record.Token == j.token {
		j.began, j.Already = record.Began, record.Finished
	}
	data, err := followLinks(s.Host, path.Clean(j.etcd.Input.Index.Cluster.Policy.EtcdDataDir))
	if err != nil {
		return err
	}
	mounts, err := mountsBelow(s.Host, data)
	if err != nil {
		return err
	}
	stamp, short := j.began.Format("20060102T150405Z"), j.token[len("offgrid-restore-"):]
	p := restorePlaces{live: data, old: data + ".before-restore-" + stamp, done: data + ".restore-" + short}
	p.next = p.done
	if slices.Contains(mounts, data) { // a file system of its own cannot be renamed: what is in it is
		p = restorePlaces{live: path.Join(data, "member"), old: path.Join(data, "before-restore-"+stamp), done: path.Join(data, "restore-"+short)}
		p.next = path.Join(p.done, "member")
	}
	p.part = p.done + ".part"
	j.places, j.Old = p, p.old
	return nil
}

func (s *Session) lastRestore() (*restoreRecord, error) {
	text, err := readOptional(s.Host, restorePath())
	if err != nil || text == "" {
		return nil, err
	}
	var r restoreRecord
	if err := bundle.DecodeStrict([]byte(text), &r, saveMax); err != nil {
		return nil, fmt.Errorf("reading %s: %w", restorePath(), err)
	}
	return &r, nil
}

func (j *RestoreJob) initialCluster() string {
	var parts []string
	for _, m := range j.Members {
		parts = append(parts, m.Name+"="+m.Peer)
	}
	return strings.Join(parts, ",")
}

// clusterID is what etcd 3.4 calls a cluster that begins with these members and this token (membership.NewMember, genID).
func clusterID(members []SnapshotMember, token string) uint64 {
	var ids []uint64
	for _, m := range members {
		sum := sha1.Sum([]byte(m.Peer + token))
		ids = append(ids, binary.BigEndian.Uint64(sum[:8]))
	}
	slices.Sort(ids)
	var all []byte
	for _, id := range ids {
		all = binary.BigEndian.AppendUint64(all, id)
	}
	sum := sha1.Sum(all)
	return binary.BigEndian.Uint64(sum[:8])
}

// RestoreResult is how far a restore came.
type RestoreResult struct {
	Old     string   `json:"old"`     // where the data from before is
	Waiting []string `json:"waiting"` // what only the other members can do
	Next    []string `json:"next"`    // what to do now, in order
}

// Restore exchanges the data of this member for the snapshot's and starts etcd. It may be killed at any moment and run
// again.
func (s *Session) Restore(ctx context.Context, j *RestoreJob) (RestoreResult, error) {
	res := RestoreResult{Old: j.Old, Waiting: []string{}}
	lock, err := s.lock(ctx)
	if err != nil {
		return res, err
	}
	defer lock.Close()
	if err := s.guardRestore(ctx, j); err != nil { // while the question stood, something may have been started
		return res, err
	}
	journal, err := s.journal(lock)
	if err != nil {
		return res, err
	}
	defer journal.Close()
	applied, err := Apply(ctx, ApplyOptions{Host: s.Host, Journal: journal, Role: bundle.RoleEtcd, Steps: s.restoreSteps(j), Report: s.Report})
	if err != nil {
		return res, err
	}
	res.Waiting = append(res.Waiting, applied.Waiting...)
	res.Next = j.procedure(len(applied.Waiting) > 0)
	s.Report.Report(progress.Event{Phase: "restore", Item: j.Member, Kind: progress.Done})
	return res, nil
}
