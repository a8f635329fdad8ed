package hosttest

import (
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"

	"offgrid/installer/host"
)

// fakes are the commands that work without a script.
func (h *Host) fakes() map[string]Script {
	return map[string]Script{
		"systemctl": h.systemctl, "rpm": h.rpm, "sysctl": h.sysctl, "modprobe": h.modprobe, "swapoff": h.swapoff, "swapon": h.swapon,
		"hostnamectl": h.hostnamectl, "getenforce": h.getenforce, "setenforce": h.setenforce, "iptables": h.iptables,
		"iptables-save": h.iptablesSave, "iptables-restore": h.iptablesRestore, "useradd": h.useradd, "userdel": h.userdel,
		"groupadd": h.groupadd, "groupdel": h.groupdel, "umount": h.umount, "kubectl": h.kubectl, "etcdctl": h.etcdctl, "mv": h.mv, "chown": h.chown, "tee": h.tee, "sync": Says(""),
		"grubby": h.grubby, "grub2-editenv": h.grub2Editenv,
	}
}

// set changes a file that a command changes.
func (h *Host) set(name, content string) error {
	return h.change(func() error { return h.put(name, []byte(content), host.Meta{Mode: 0o644}) })
}

func (h *Host) tee(stdin string, argv []string) (string, error) {
	if len(argv) != 2 {
		return "", Exit(argv, 1, "", "tee: the fake knows one file")
	}
	return stdin, h.set(argv[1], stdin)
}

func (h *Host) sysctl(_ string, argv []string) (string, error) {
	if len(argv) != 3 || argv[1] != "-w" && argv[1] != "-n" {
		return "", Exit(argv, 1, "", "sysctl: the fake knows -w and -n")
	}
	key, value, _ := strings.Cut(argv[2], "=")
	file := "/proc/sys/" + strings.ReplaceAll(key, ".", "/")
	if _, err := os.Stat(h.real(file, true)); err != nil {
		return "", Exit(argv, 255, "", "sysctl: cannot stat "+file+": No such file or directory")
	}
	if argv[1] == "-n" {
		return h.Get(file), nil
	}
	return key + " = " + value + "\n", h.set(file, value+"\n")
}

// bridgeSettings come and go with br_netfilter.
const bridgeSettings = "/proc/sys/net/bridge"

func (h *Host) modprobe(_ string, argv []string) (string, error) {
	name := strings.ReplaceAll(argv[len(argv)-1], "-", "_")
	dir := h.real("/sys/module/"+name, true)
	remove := slices.Contains(argv, "-r")
	return "", h.change(func() error {
		bridge := h.real(bridgeSettings, true)
		if remove {
			if name == "br_netfilter" {
				if err := os.RemoveAll(bridge); err != nil {
					return err
				}
			}
			return os.RemoveAll(dir)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil || name != "br_netfilter" {
			return err
		}
		if err := os.MkdirAll(bridge, 0o755); err != nil {
			return err
		}
		for _, key := range []string{"/bridge-nf-call-iptables", "/bridge-nf-call-ip6tables"} {
			if err := h.put(bridgeSettings+key, []byte("1\n"), host.Meta{Mode: 0o644}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (h *Host) swapoff(_ string, argv []string) (string, error) {
	lines := strings.SplitAfter(h.Get("/proc/swaps"), "\n")
	for _, line := range lines[1:] {
		if f := strings.Fields(line); len(f) > 0 {
			h.swaps[f[0]] = line
		}
	}
	return "", h.set("/proc/swaps", lines[0])
}

func (h *Host) swapon(_ string, argv []string) (string, error) {
	line, ok := h.swaps[argv[1]]
	if !ok {
		return "", Exit(argv, 255, "", "swapon: stat failed "+argv[1]+": No such file or directory")
	}
	return "", h.set("/proc/swaps", h.Get("/proc/swaps")+line)
}

func (h *Host) hostnamectl(_ string, argv []string) (string, error) {
	if !slices.Contains(argv, "set-hostname") {
		return "", Exit(argv, 1, "", "hostnamectl: the fake knows set-hostname")
	}
	name := argv[len(argv)-1]
	if !slices.Contains(argv, "--transient") {
		if err := h.set("/etc/hostname", name+"\n"); err != nil {
			return "", err
		}
	}
	return "", h.set("/proc/sys/kernel/hostname", name+"\n")
}

func (h *Host) getenforce(string, []string) (string, error) { return h.Get(state + "selinux"), nil }

func (h *Host) setenforce(_ string, argv []string) (string, error) {
	if strings.TrimSpace(h.Get(state+"selinux")) == "Disabled" {
		return "", Exit(argv, 1, "", "setenforce: SELinux is disabled")
	}
	return "", h.set(state+"selinux", map[string]string{"0": "Permissive\n", "1": "Enforcing\n"}[argv[1]])
}

// iptables knows -F and -X of one table. A table is a file with iptables-save's text.
func (h *Host) iptables(_ string, argv []string) (string, error) {
	at := slices.Index(argv, "-t")
	if at < 0 {
		return "", Exit(argv, 2, "", "iptables: the fake wants -t")
	}
	file := state + "iptables/" + argv[at+1]
	text := h.Get(file)
	if text == "" {
		return "", nil
	}
	var kept strings.Builder
	for line := range strings.Lines(text) {
		flushed := slices.Contains(argv, "-F") && strings.HasPrefix(line, "-A ")
		deleted := slices.Contains(argv, "-X") && strings.HasPrefix(line, ":") && strings.Contains(line, " - ")
		if !flushed && !deleted {
			kept.WriteString(line)
		}
	}
	return "", h.set(file, kept.String())
}

func (h *Host) iptablesSave(string, []string) (string, error) {
	var out strings.Builder
	for _, table := range []string{"mangle", "nat", "filter"} {
		out.WriteString(h.Get(state + "iptables/" + table))
	}
	return out.String(), nil
}

// iptablesRestore replaces the tables that it is given. One without rules and without chains of its own is not shown
// afterwards, as on a kernel that never had it in use.
func (h *Host) iptablesRestore(stdin string, argv []string) (string, error) {
	return "", h.change(func() error {
		for _, part := range strings.SplitAfter(stdin, "COMMIT\n") {
			name, _, _ := strings.Cut(strings.TrimPrefix(part, "*"), "\n")
			if name == "" {
				continue
			}
			file := state + "iptables/" + name
			err := h.put(file, []byte(part), host.Meta{Mode: 0o644})
			if !strings.Contains(part, "-A ") && !strings.Contains(part, " - ") {
				err = h.drop(file)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// addAccount appends lines to the files of accounts that the host has, one after the other.
func (h *Host) addAccount(lines ...[2]string) error {
	for _, l := range lines {
		file, line := l[0], l[1]
		if strings.HasSuffix(file, "shadow") && h.Get(file) == "" {
			continue
		}
		if err := h.set(file, h.Get(file)+line+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// useradd makes the user, then the group: it may die between any two of the files.
func (h *Host) useradd(_ string, argv []string) (string, error) {
	name, home := argv[len(argv)-1], "/"
	if i := slices.Index(argv, "-d"); i > 0 {
		home = argv[i+1]
	}
	if strings.Contains("\n"+h.Get("/etc/passwd"), "\n"+name+":") {
		return "", Exit(argv, 9, "", "useradd: user '"+name+"' already exists")
	}
	own := slices.Contains(argv, "-U")
	if own && strings.Contains("\n"+h.Get("/etc/group"), "\n"+name+":") {
		return "", Exit(argv, 9, "", "useradd: group "+name+" exists - if you want to add this user to that group, use -g.")
	}
	err := h.addAccount([2]string{"/etc/passwd", name + ":x:998:998::" + home + ":/sbin/nologin"}, [2]string{"/etc/shadow", name + ":!!:20000::::::"})
	if err != nil || !own {
		return "", err
	}
	return h.newGroup(name, "998")
}

func (h *Host) newGroup(name, gid string) (string, error) {
	return "", h.addAccount([2]string{"/etc/group", name + ":x:" + gid + ":"}, [2]string{"/etc/gshadow", name + ":!::"})
}

func (h *Host) groupadd(_ string, argv []string) (string, error) {
	name, gid := argv[len(argv)-1], argv[slices.Index(argv, "-g")+1]
	if strings.Contains("\n"+h.Get("/etc/group"), "\n"+name+":") {
		return "", Exit(argv, 9, "", "groupadd: group '"+name+"' already exists")
	}
	return h.newGroup(name, gid)
}

// userdel removes the user, then the group of the same name.
func (h *Host) userdel(_ string, argv []string) (string, error) {
	if err := h.dropAccount(argv[len(argv)-1], "/etc/passwd", "/etc/shadow"); err != nil {
		return "", err
	}
	return h.groupdel("", argv)
}

func (h *Host) groupdel(_ string, argv []string) (string, error) {
	return "", h.dropAccount(argv[len(argv)-1], "/etc/group", "/etc/gshadow")
}

func (h *Host) dropAccount(name string, files ...string) error {
	for _, file := range files {
		if text := h.Get(file); without(text, name) != text {
			if err := h.set(file, without(text, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// without removes the lines of an account.
func without(text, name string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, name+":") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func (h *Host) umount(_ string, argv []string) (string, error) {
	at := argv[len(argv)-1]
	var kept strings.Builder
	for line := range strings.Lines(h.Get("/proc/self/mounts")) {
		if f := strings.Fields(line); len(f) < 2 || strings.ReplaceAll(f[1], `\040`, " ") != at {
			kept.WriteString(line)
		}
	}
	return "", h.set("/proc/self/mounts", kept.String())
}

// kubectl keeps the data of ConfigMaps, and the names of the files that were applied.
func (h *Host) kubectl(stdin string, argv []string) (string, error) {
	if h.APIDown {
		return "", Exit(argv, 1, "", "The connection to the server 127.0.0.1:8080 was refused - did you specify the right host or port?")
	}
	if at := slices.Index(argv, "configmap"); at >= 0 && slices.Contains(argv, "get") {
		return h.Get(state + "kube/" + argv[at+1]), nil
	}
	at := slices.Index(argv, "-f")
	if at < 0 || !slices.Contains(argv, "apply") {
		return "", Exit(argv, 1, "", "kubectl: the fake knows get configmap and apply -f")
	}
	if file := argv[at+1]; file != "-" {
		return "", h.set(state+"kube/"+path.Base(file), h.Get(file))
	}
	var object struct {
		Metadata struct{ Name string }
		Data     map[string]string
	}
	if err := json.Unmarshal([]byte(stdin), &object); err != nil {
		return "", Exit(argv, 1, "", "error: error parsing STDIN: "+err.Error())
	}
	return "", h.set(state+"kube/"+object.Metadata.Name, object.Data["digest"])
}
