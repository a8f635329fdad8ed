package installer

import "testing"

// The numbers are what three members of etcd 3.4.23 said of themselves after etcdctl snapshot restore with these names.
func TestARestoredClusterIsKnownByItsID(t *testing.T) {
	members := []SnapshotMember{{"m1", "http://127.0.0.1:12381"}, {"m2", "http://127.0.0.1:12382"}, {"m3", "http://127.0.0.1:12383"}}
	if got := clusterID(members, "offgrid-restore-abc"); got != 15246488193490715728 {
		t.Errorf("got %d, want 15246488193490715728", got)
	}
	members[0], members[2] = members[2], members[0]
	if got := clusterID(members, "offgrid-restore-abc"); got != 15246488193490715728 {
		t.Errorf("in another order: got %d, want 15246488193490715728", got)
	}
}
