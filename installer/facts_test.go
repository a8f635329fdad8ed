package installer

import (
	"net/netip"
	"reflect"
	"testing"
)

func TestAddressesOfEl7sIPAreRead(t *testing.T) {
	got := parseAddresses(`1: lo    inet 127.0.0.1/8 scope host lo\       valid_lft forever preferred_lft forever
2: eth0    inet 20.0.0.103/24 brd 20.0.0.255 scope global eth0\       valid_lft forever preferred_lft forever
3: tun0    inet 10.8.0.6 peer 10.8.0.5/32 scope global tun0\       valid_lft forever preferred_lft forever
`)
	want := []Address{
		{"lo", netip.MustParsePrefix("127.0.0.1/8")}, {"eth0", netip.MustParsePrefix("20.0.0.103/24")}, {"tun0", netip.MustParsePrefix("10.8.0.6/32")},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRoutesLeaveTheDefaultOut(t *testing.T) {
	got := parseRoutes("default via 20.0.0.1 dev eth0 proto static metric 100\n20.0.0.0/24 dev eth0 proto kernel scope link src 20.0.0.103\n10.9.9.9 via 20.0.0.2 dev eth0\nunreachable 192.0.2.0/24\n")
	want := []Route{{"eth0", netip.MustParsePrefix("20.0.0.0/24")}, {"eth0", netip.MustParsePrefix("10.9.9.9/32")}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestListenersOfEl7sSSAreRead(t *testing.T) {
	got := parseListeners(`State      Recv-Q Send-Q Local Address:Port               Peer Address:Port
LISTEN     0      128    127.0.0.1:2381                     *:*                   users:(("etcd",pid=812,fd=7))
LISTEN     0      128          *:22                       *:*                   users:(("sshd",pid=1010,fd=3),("sshd",pid=1011,fd=3))
LISTEN     0      128         :::10250                     :::*
`)
	want := []Listener{{Port: 2381, Process: "etcd", PID: 812}, {Port: 22, Process: "sshd", PID: 1010}, {Port: 10250}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMountsAreReadWithTheirOptions(t *testing.T) {
	got := parseMounts("rootfs / rootfs rw 0 0\n/dev/mapper/centos-root / xfs rw,relatime 0 0\n/dev/sdb1 /mnt/my\\040stick vfat ro,noexec 0 0\nsystemd-1 bad\n")
	want := []Mount{{Path: "/", Type: "xfs", Options: []string{"rw", "relatime"}}, {Path: "/mnt/my stick", Type: "vfat", Options: []string{"ro", "noexec"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFreeBytesAreReadByMountPoint(t *testing.T) {
	got := parseFree("Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 1038336 133604 904732 13% /boot\n/dev/sdb1 10 5 5 50% /mnt/my stick\n")
	want := map[string]int64{"/boot": 904732 << 10, "/mnt/my stick": 5 << 10}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSmallFactsAreRead(t *testing.T) {
	os := parseOSRelease("NAME=\"CentOS Linux\"\nVERSION_ID=\"7\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\nPRETTY_NAME=\"CentOS Linux 7 (Core)\"\n")
	if (os != OSRelease{ID: "centos", IDLike: "rhel fedora", VersionID: "7", Name: "CentOS Linux 7 (Core)"}) {
		t.Errorf("os-release: %+v", os)
	}
	for _, c := range []struct{ name, got, want string }{
		{"docker", parseDockerVersion("Docker version 20.10.24, build 297e128\n"), "20.10.24"},
		{"podman", parseDockerVersion("podman version 1.6.4\n"), "podman 1.6.4"},
		{"nothing", parseDockerVersion("bash: docker: command not found\n"), ""},
		{"selinux on", selinuxState("1"), "enforcing"},
		{"selinux off", selinuxState(""), "disabled"},
		{"arch", goArch("x86_64"), "amd64"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
	if got := parseMemory("MemTotal:        3880512 kB\nMemFree: 1 kB\n"); got != 3973644288 {
		t.Errorf("memory: %d", got)
	}
	if got := parseSwaps("Filename Type Size Used Priority\n/dev/dm-1 partition 2097148 0 -2\n"); !reflect.DeepEqual(got, []string{"/dev/dm-1"}) {
		t.Errorf("swaps: %v", got)
	}
	if got := countSwapLines("# a swap swap\n/dev/mapper/centos-swap swap swap defaults 0 0\n#/x swap swap\n"); got != 1 {
		t.Errorf("swap lines: %d", got)
	}
}

func FuzzFactsNeverPanic(f *testing.F) {
	f.Add("2: eth0    inet 20.0.0.103/24 brd 20.0.0.255 scope global eth0\n")
	f.Add("LISTEN 0 128 127.0.0.1:2381 *:* users:((\"etcd\",pid=812,fd=7))\n")
	f.Add("MemTotal: 9223372036854775807 kB\n/dev/sda1 1 1 9223372036854775807 1% /\n")
	f.Add("/dev/sda1 / xfs rw 0 0\nLoadState=x\nID=\"centos\"\nDocker version 1,\n")
	f.Fuzz(func(t *testing.T, text string) {
		parseAddresses(text)
		parseRoutes(text)
		parseMounts(text)
		parsePackages(text)
		parseOSRelease(text)
		parseDockerVersion(text)
		parseSwaps(text)
		countSwapLines(text)
		for _, l := range parseListeners(text) {
			if l.Port < 1 || l.Port > 65535 {
				t.Errorf("port %d", l.Port)
			}
		}
		for at, n := range parseFree(text) {
			if n < 0 {
				t.Errorf("%s has %d bytes free", at, n)
			}
		}
		if n := parseMemory(text); n < 0 {
			t.Errorf("memory %d", n)
		}
	})
}
