package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newer are calls that need a version later than el7's: each word after the tool is an argument ("_" stands for a space).
// The versions are those that the tables' headers name.
const newer = `
systemctl show --value -p ActiveState x
systemctl show -P ActiveState x
systemctl is-system-running --wait
systemctl start --wait x
systemctl reboot --dry-run
systemctl kill --kill-whom=main x
systemctl kill --kill-value=1 x
systemctl status --with-dependencies x
systemctl show --timestamp=utc x
systemctl clean x
systemctl clean --what=state x
systemctl poweroff --message=x
systemctl reboot --firmware-setup
systemctl reboot --when=now
systemctl list-units --legend=no
systemctl enable --no-warn x
systemctl revert x
systemctl freeze x
systemctl thaw x
systemctl log-level
systemctl try-reload-or-restart x
systemctl list-automounts
systemctl soft-reboot
systemctl status -o json-seq x
systemctl status -o with-unit x
journalctl -g x
journalctl --grep x
journalctl --vacuum-files=1
journalctl --rotate
journalctl --sync
journalctl --output-fields=X
journalctl --no-hostname
journalctl --namespace=x
journalctl -o short-full
journalctl -o with-unit
journalctl -o short-unix
systemd-run --wait true
systemd-run --pipe true
systemd-run -P true
systemd-run --working-directory=/ true
systemd-run --same-dir true
systemd-run --path-property=x true
timedatectl show
timedatectl timesync-status
timedatectl show-timesync
timedatectl --value
hostnamectl hostname x
hostnamectl --json=short
systemd-analyze security
systemd-analyze calendar daily
systemd-analyze condition x
systemd-tmpfiles --cat-config
rpm -U --pkgverify-level=all x.rpm
rpm -q --json x
rpm -q --whatrecommends x
rpm -q --recommends x
rpm -q --filetriggers x
rpm -U --noverify x.rpm
rpm -U --excludeartifacts x.rpm
rpm -q --deplist x
rpm --load=x -q x
rpmkeys --list
rpmkeys --delete x
rpmdb --exportdb
rpmdb --salvagedb
sysctl --dry-run -w a=b
ip -j addr
ip -json link show
ip -p addr
ip -pretty link
ip -echo link
ip -br -j a
ip -color=auto addr
ip -N route
ip -numeric route
ip nexthop
ip mptcp
ip stats
ip sr
ss -O
ss --oneline
ss --json
ss --tos
ss --cgroup
ss --tipc
ss --inet-sockopt
ss -B
iptables -t nat -A POSTROUTING -j MASQUERADE --random-fully
iptables -m cgroup --path x
iptables -A INPUT -m bpf --object-pinned x
iptables -A INPUT -j NFLOG --nflog-size 1
ip6tables -A INPUT -j SNPT --frob
iptables-save -f x
iptables-save --file x
iptables-restore --version
iptables-restore -V
modprobe --remove-holders x
modprobe -w 1 -r x
modprobe --wait 1 -r x
lsblk -J
lsblk --json
lsblk -x NAME
lsblk -O
lsblk -M
lsblk -T
lsblk --sysroot /
lsblk -o NAME,PTUUID
lsblk -o NAME,MOUNTPOINTS
lsblk -o FSVER
findmnt -J
findmnt --json
findmnt --real
findmnt --pseudo
findmnt --tree
findmnt -x
findmnt --verify
findmnt -b
findmnt -o FSROOT,USE%
losetup -J
losetup --json
losetup --direct-io=on -f x
losetup --raw
losetup -n
losetup --sector-size 512
losetup -L
losetup -O DIO
flock --no-fork x true
flock -F x true
flock --verbose x true
unshare --fork true
unshare -r true
unshare --mount-proc true
unshare --kill-child true
unshare -C true
nsenter -a true
nsenter -C true
nsenter --all true
nsenter -T true
curl --http1.1 https://x
curl --next https://x
curl --unix-socket /x http://x
curl --data-raw x https://x
curl --connect-to a:b:c:d https://x
curl --fail-early https://x
curl --retry-connrefused https://x
curl --retry-all-errors https://x
curl --tls-max 1.2 https://x
curl --tlsv1.3 https://x
curl --output-dir /x https://x
curl --fail-with-body https://x
curl --json x https://x
curl --remove-on-error https://x
curl --no-progress-meter https://x
curl -Z https://x
curl --etag-save x https://x
curl --oauth2-bearer x https://x
curl --create-file-mode 0600 https://x
curl --max-time=3 https://x
tar --zstd -cf x y
tar --sort=name -cf x y
tar --one-top-level -xf x
tar --skip-old-files -xf x
tar --keep-directory-symlink -xf x
tar --clamp-mtime -cf x y
tar --owner-map=x -cf x y
tar --exclude-vcs-ignores -cf x y
tar --exclude-ignore=x -cf x y
tar --hole-detection=raw -cf x y
tar --verbatim-files-from -T x -cf y
tar -I zstd_-3 -cf x y
tar --use-compress-program=zstd_-d -xf x
tar --set-mtime-command=x -cf x y
dd if=a of=b status=progress
dd if=a of=b iseek=1
dd if=a of=b oseek=1
dd if=a of=b bs=1M oflag=nope
df --output=source,fsid
df --frob
sync FILE
sync -f FILE
sync -d FILE
sync --file-system /x
env -S bash_-x
env --split-string=x
env -C / true
env --chdir=/ true
env -v true
env --default-signal true
env --ignore-signal true
timeout -v 1 true
timeout --verbose 1 true
timeout -f 1 true
timeout -p 1 true
useradd --badname x
useradd --add-subids-for-system x
useradd -F x
useradd --btrfs-subvolume-home x
openssl req -x509 -addext subjectAltName=x
openssl req -noenc -newkey rsa:2048
openssl req -copy_extensions copy
openssl x509 -in x -ext subjectAltName
openssl x509 -new -in x
openssl genpkey -algorithm ed25519
openssl genpkey -algorithm X25519
openssl list -digest-algorithms
openssl storeutl x
openssl rehash
openssl kdf x
openssl mac x
openssl genrsa -traditional 2048
openssl pkey -ec_conv_form x
ssh-keygen -Y sign -n file -f key x
ssh-keygen -w x -t ed25519
ssh-keygen -t ed25519-sk -f x
ssh-keygen -t ecdsa-sk -f x
grubby --no-etc-grub-update --update-kernel=ALL
grubby --zipl-frob
`

// known are calls that el7's versions understand.
const known = `
systemctl daemon-reload
systemctl start --no-block etcd.service
systemctl enable --now etcd
systemctl disable --now firewalld
systemctl mask --now firewalld
systemctl show -p ActiveState etcd
systemctl show -p LoadState,UnitFileState --no-pager etcd
systemctl --property=ActiveState show etcd
systemctl is-active --quiet etcd
systemctl is-enabled etcd
systemctl is-system-running
systemctl list-units --type=service --state=failed --no-legend --plain
systemctl --prop ActiveState show etcd
systemctl kill --kill-who=main -s TERM etcd
systemctl status -n 20 -o cat etcd
systemctl reset-failed
systemctl cat etcd
systemctl isolate rescue.target
journalctl -u etcd -n 50 --no-pager -o short-iso
journalctl -b -p err --since today
journalctl --vacuum-size=10M
journalctl -o json-pretty -n1
systemd-run --scope -- mount -t tmpfs x /y
systemd-run --unit=x --collect true --value
systemd-run --description=x --property=Y=z true
timedatectl set-timezone Asia/Shanghai
timedatectl status
timedatectl set-ntp yes
hostnamectl set-hostname master01
hostnamectl --static status
systemd-analyze blame
systemd-tmpfiles --create
rpm -U --test a.rpm
rpm -Uvh --replacepkgs a.rpm b.rpm
rpm -ivh --oldpackage a.rpm
rpm -q --qf %{EPOCHNUM}:%{NAME} docker-ce
rpm -qa --queryformat %{NAME} --nosignature
rpm -qp --requires a.rpm
rpm -e --test docker-ce
rpm -V docker-ce
rpm --import key
rpm --eval %{_arch}
rpm -qf /usr/bin/bash
rpm -q --whatprovides /bin/sh
rpm --root /x --dbpath /y -qa
rpm --reinstall x.rpm
rpm -qlp x.rpm
rpmdb --rebuilddb
rpmkeys --import key
sysctl -w net.ipv4.ip_forward=1
sysctl -n kernel.osrelease
sysctl --system
sysctl -p /etc/sysctl.d/x.conf
sysctl -e -q -p
sysctl --load=/x
ip addr show
ip -o -4 addr show
ip -br a
ip -d link
ip -s -s link
ip -6 route
ip route get 20.0.0.1
ip -netns x link
ip --oneline address
ip -family inet addr
ip netns exec x true --json
ip vrf show
ss -ltnp
ss -Hltn
ss -lntu state listening
ss --no-header --tcp
ss -K dst 1.2.3.4
iptables -L -n
iptables -w -t nat -A POSTROUTING -s 10.0.0.0/8 ! -o docker0 -j MASQUERADE
iptables -w 5 -t filter -C FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -A INPUT -m comment --comment --frob -j ACCEPT
iptables -A X -m statistic --mode random --probability 0.5 -j Y
iptables -A X -j REJECT --reject-with icmp-port-unreachable
iptables -A X -m mark --mark 0x8000/0x8000 -j DROP
iptables -A X -j MARK --set-xmark 0x4000/0x4000
iptables -A X -p tcp -m tcp --dport 443 -j DNAT --to-destination 1.2.3.4:443
iptables -A X -m set --match-set KUBE dst,dst -j RETURN
iptables -F
ip6tables -P FORWARD DROP
iptables-save -t nat
iptables-save -c
iptables-restore -n --counters
iptables-restore --noflush --wait=5
modprobe -a ip_vs ip_vs_rr
modprobe -abq x
modprobe --show-depends x
modprobe -r x
lsblk -dno NAME,SIZE
lsblk -P -o NAME,TYPE,MOUNTPOINT
lsblk --bytes --noheadings
findmnt -n -o SOURCE,FSTYPE -T /boot
findmnt --noheadings --output TARGET
findmnt -rn -o TARGET
losetup -f --show x
losetup -a
losetup -j x
losetup -l -O NAME,BACK-FILE
flock -n /x true
flock -w 5 /x -c true
unshare -m true
nsenter --mount=/x -- true
nsenter -t 1 -m -u true
curl -fsSL -o x https://x
curl --retry 3 --retry-delay 1 --connect-timeout 5 --max-time 10 https://x
curl --cacert ca --cert c --key k https://x
curl --resolve a:1:b https://x
curl --noproxy a --no-buffer https://x
curl -w %{http_code} -s https://x
curl --tlsv1.2 https://x
curl -k -# -I https://x
tar xzf x.tgz -C /y
tar -xzf x.tgz --strip-components=1
tar --extract --file x --directory y
tar --exclude=x -cJf y z
tar cf - x --owner=root --group=root --numeric-owner --mtime=@0
tar -I xz -xf x
tar --xattrs --selinux -cf x y
dd if=a of=b bs=1M count=1 conv=fsync,notrunc oflag=direct status=none
dd of=b seek=1 iflag=fullblock
df -P /x
df --output=avail,target -B1 /x
df -Th
sync
env -i PATH=/bin true
env LC_ALL=C rpm --json
env -u HOME true -S
timeout 5 true -v
timeout -k 1 --signal=KILL 5 true
timeout --foreground --preserve-status 5 true
useradd -r -M -s /sbin/nologin -d /x etcd
useradd --system --home-dir /x --shell /sbin/nologin --no-create-home etcd
openssl x509 -in x -noout -subject -enddate
openssl req -new -x509 -nodes -newkey rsa:2048 -keyout k -out c -days 1 -subj /CN=x
openssl dgst -sha256 x
openssl rand -hex 16
openssl verify -CAfile ca x
openssl s_client -connect x:1
ssh-keygen -t ed25519 -N x -f y
ssh-keygen -lf x
ssh-keygen -y -f x
ssh-keygen -A
grubby --default-kernel
grubby --info=ALL
grubby --set-default=/boot/vmlinuz-x
grubby --update-kernel=ALL --args=x
`

func checkLine(t *testing.T, line string) error {
	t.Helper()
	f := strings.Fields(line)
	for i := range f {
		f[i] = strings.ReplaceAll(f[i], "_-", " -")
	}
	tab, err := loadTable(f[0])
	if err != nil {
		t.Fatal(err)
	}
	return standIn{root: t.TempDir()}.check(tab, f[1:])
}

func TestOptionsNewerThanEL7AreRefused(t *testing.T) {
	for _, line := range strings.Split(strings.TrimSpace(newer), "\n") {
		if err := checkLine(t, line); err == nil {
			t.Errorf("%s: passed, want it refused", line)
		}
	}
}

func TestOptionsOfEL7ArePassed(t *testing.T) {
	for _, line := range strings.Split(strings.TrimSpace(known), "\n") {
		if err := checkLine(t, line); err != nil {
			t.Errorf("%s: refused: %v", line, err)
		}
	}
}

func TestEveryToolIsTriedBothWays(t *testing.T) {
	entries, err := tables.ReadDir("tables")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".txt")
		if name == "units" || name == "absent" {
			continue
		}
		if !strings.Contains(newer, "\n"+name+" ") {
			t.Errorf("no call of %s that is newer than el7", name)
		}
		if !strings.Contains(known, "\n"+name) {
			t.Errorf("no call of %s that el7 knows", name)
		}
	}
}

func TestEveryTableNamesItsSourceAndVersion(t *testing.T) {
	entries, err := tables.ReadDir("tables")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := tables.ReadFile("tables/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(data), "\n"+strings.TrimLeft(firstPlain(string(data)), "\n"))
		if !strings.Contains(head, "# Source: ") {
			t.Errorf("%s: its head names no source", e.Name())
		}
		if !strings.Contains(head, "el7") && !strings.Contains(head, "CentOS 7") {
			t.Errorf("%s: its head names no version of el7", e.Name())
		}
	}
}

// firstPlain is the first line that is no comment.
func firstPlain(text string) string {
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}

func TestAToolThatEL7LacksIsNotFoundAndNoted(t *testing.T) {
	for _, name := range []string{
		"dnf", "nft", "iptables-nft", "iptables-legacy", "wget", "netstat", "ifconfig", "dig", "killall", "lspci", "python3",
		"jq", "zstd", "skopeo", "semanage", "yum-complete-transaction", "rpm2archive", "update-grub", "apt-get", "perl", "rsync",
	} {
		root := t.TempDir()
		mkdir(t, root, "var/log")
		var stderr bytes.Buffer
		code := standIn{root: root, stderr: &stderr, exec: noExec(t)}.call(name, []string{name, "-x"})
		if want := "bash: " + name + ": command not found\n"; code != 127 || stderr.String() != want {
			t.Errorf("%s: exit %d and %q, want 127 and %q", name, code, stderr.String(), want)
		}
		if data, _ := os.ReadFile(filepath.Join(root, "var/log/el7-refused")); !strings.Contains(string(data), " "+name+": not there") {
			t.Errorf("%s: the log holds %q", name, data)
		}
	}
}

func TestVersionsAreThoseOfEL7(t *testing.T) {
	for call, want := range map[string]string{
		"systemctl --version":     "systemd 219\n",
		"rpm --version":           "RPM version 4.11.3\n",
		"iptables --version":      "iptables v1.4.21\n",
		"ip -V":                   "ip utility, iproute2-ss170501\n",
		"curl --version":          "curl 7.29.0 ",
		"tar --version":           "tar (GNU tar) 1.26\n",
		"openssl version":         "OpenSSL 1.0.2k-fips ",
		"lsblk --version":         "lsblk from util-linux 2.23.2\n",
		"df --version":            "df (GNU coreutils) 8.22\n",
		"sysctl --version":        "sysctl from procps-ng 3.3.10\n",
		"modprobe --version":      "kmod version 20\n",
		"grubby --version":        "grubby version 8.28\n",
		"ssh-keygen -t ed25519-x": "",
	} {
		argv := strings.Fields(call)
		var stdout, stderr bytes.Buffer
		code := standIn{root: t.TempDir(), stdout: &stdout, stderr: &stderr, exec: noExec(t)}.call(argv[0], argv)
		if !strings.HasPrefix(stdout.String(), want) || (want != "" && code != 0) {
			t.Errorf("%s: exit %d and %q, want 0 and %q", call, code, stdout.String(), want)
		}
	}
}
