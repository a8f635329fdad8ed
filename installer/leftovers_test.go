package installer

import (
	"slices"
	"testing"

	"offgrid/installer/hosttest"
)

func TestWhatServicesLeaveRunningGoesWithThem(t *testing.T) {
	h := busyHost(t)
	h.Unit(t, "kubelet.service", false, false)
	h.Unit(t, "kubepods.slice", false, false)
	h.Unit(t, "docker.service", false, false)
	must(t, applyAll(h, "node", []Step{&UnitStep{Unit: "docker.service"}, &UnitStep{Unit: "kubelet.service"}}))
	h.Unit(t, "kubepods.slice", false, true)
	h.Put(t, "/sys/class/net/docker0/address", "02:42:00:00:00:01")
	h.Script("ip link delete docker0", hosttest.Says(""))
	if _, err := undoAll(h, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"systemctl stop kubepods.slice", "ip link delete docker0"} {
		if !slices.Contains(h.Ran, want) {
			t.Errorf("%q was not run: %q", want, h.Ran)
		}
	}
}
