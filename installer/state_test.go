package installer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/installer/hosttest"
)

func TestASecondInstallerIsRefusedWithThePIDOfTheFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "offgrid")
	first, err := LockState(dir)
	must(t, err)
	_, err = LockState(dir)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != fmt.Sprint(os.Getpid()) {
		t.Fatalf("error is %v", err)
	}
	must(t, first.Close())
	second, err := LockState(dir)
	must(t, err)
	must(t, second.Close())
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestRolesAreListedInTheOrderInWhichTheyAreMade(t *testing.T) {
	h := hosttest.New(t)
	for _, role := range []string{"node", "etcd"} {
		h.Put(t, RoleDir(role)+"/want.json", fmt.Sprintf(`{"format":0,"role":%q,"ip":"20.0.0.103","host":"node01","bundle":"sha256:%s"}`, role, strings.Repeat("ab", 32)))
	}
	h.Put(t, RoleDir("master")+"/index.json", "carrying was interrupted")
	roles, err := InstalledRoles(h)
	must(t, err)
	if len(roles) != 2 || roles[0].Role != "etcd" || roles[1].Role != "node" || roles[1].IP != "20.0.0.103" {
		t.Errorf("roles: %+v", roles)
	}
	h.Put(t, RoleDir("etcd")+"/want.json", `{"format":0,"role":"node"}`)
	if _, err := InstalledRoles(h); err == nil || !strings.Contains(err.Error(), `it is about role "node"`) {
		t.Errorf("error is %v", err)
	}
}
