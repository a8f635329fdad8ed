package installer

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"offgrid/installer/host"
)

const kindSettings = "settings"

// SettingsStep remembers kernel settings that a service is known to change by itself while it runs, so that an uninstall can
// put them back. It comes before the service is first started.
type SettingsStep struct {
	Unit string            // "kube-proxy.service"
	Sets map[string]string // what the service sets, by path below /proc/sys or /sys
}

// settingsBefore is a SettingsStep's begin record.
type settingsBefore struct {
	Was  map[string]string `json:"was"`  // by path; a setting that was not there is left out
	Sets map[string]string `json:"sets"` // what the service sets
}

// rememberedSettings is the mark: settings-UNIT.json.
type rememberedSettings struct {
	Format int               `json:"format"` // 0
	Was    map[string]string `json:"was"`
}

// ID implements Step.
func (s *SettingsStep) ID() string { return kindSettings + ":" + s.Unit }

// Line implements Step.
func (s *SettingsStep) Line() Line {
	return Line{Verb: "remember", Object: "the kernel settings that " + s.Unit + " changes", Why: "so that an uninstall puts them back"}
}

func settingsMark(unit string) string { return path.Join(StateDir, "settings-"+unit+".json") }

// Check implements Step.
func (s *SettingsStep) Check(_ context.Context, h host.Host) (Status, error) {
	there, err := host.Exists(h, settingsMark(s.Unit))
	if err != nil || there {
		return Status{State: Satisfied}, err
	}
	return Status{State: Needed, Why: "they are not remembered yet"}, nil
}

// Before implements Undoer.
func (s *SettingsStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	was, err := s.read(h)
	if err != nil {
		return nil, err
	}
	return json.Marshal(settingsBefore{Was: was, Sets: s.Sets})
}

// read returns the settings as they are.
func (s *SettingsStep) read(h host.Host) (map[string]string, error) {
	now := map[string]string{}
	for name := range s.Sets {
		data, err := host.ReadFile(h, name, inlineMax)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its module is not loaded
		}
		if err != nil {
			return nil, err
		}
		now[name] = oneSpace(string(data))
	}
	return now, nil
}

// Do implements Step.
func (s *SettingsStep) Do(_ context.Context, h host.Host) error {
	was, err := s.read(h)
	if err != nil {
		return err
	}
	return writeJSON(h, settingsMark(s.Unit), rememberedSettings{Was: was}, 0o600)
}

// undoSettings puts back those settings that are as the service set them. The service was stopped before: its step is a
// later one.
func undoSettings(ctx context.Context, u Undoing) error {
	var b settingsBefore
	if err := u.first(&b); err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(b.Sets)) {
		if err := undoSetting(ctx, u, name, b); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return u.Host.Remove(settingsMark(u.Object))
}

func undoSetting(ctx context.Context, u Undoing, name string, b settingsBefore) error {
	data, err := host.ReadFile(u.Host, name, inlineMax)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // went with its module
	}
	if err != nil {
		return err
	}
	now := oneSpace(string(data))
	was, known := b.Was[name]
	switch {
	case !known || now == was:
		return nil // one that was not there stays as long as its module
	case now != b.Sets[name]:
		u.note("%s was set to %q since and stays so", name, now)
		return nil
	}
	if key, ok := strings.CutPrefix(name, procSys); ok {
		_, err = u.Host.Run(ctx, nil, "sysctl", "-w", strings.ReplaceAll(key, "/", ".")+"="+was)
		return err
	}
	_, err = u.Host.Run(ctx, strings.NewReader(was+"\n"), "tee", name)
	return err
}

const (
	procSys       = "/proc/sys/"
	kubeProxyUnit = "kube-proxy.service"
)

// proxySettings are the kernel settings that kube-proxy v1.20 sets when it starts, with its defaults for connection
// tracking: cmd/kube-proxy/app/server.go, pkg/proxy/iptables and pkg/proxy/ipvs.
func proxySettings(mode string, cpus int) map[string]string {
	const perCPU, least = 32768, 131072
	connections := max(perCPU*cpus, least)
	sets := map[string]string{
		procSys + "net/ipv4/conf/all/route_localnet":                   "1",
		procSys + "net/netfilter/nf_conntrack_max":                     strconv.Itoa(connections),
		procSys + "net/netfilter/nf_conntrack_tcp_timeout_established": "86400",
		procSys + "net/netfilter/nf_conntrack_tcp_timeout_close_wait":  "3600",
		"/sys/module/nf_conntrack/parameters/hashsize":                 strconv.Itoa(connections / 4),
	}
	if mode == "ipvs" {
		sets[procSys+"net/ipv4/vs/conntrack"] = "1"
		sets[procSys+"net/ipv4/vs/conn_reuse_mode"] = "0"
		sets[procSys+"net/ipv4/vs/expire_nodest_conn"] = "1"
		sets[procSys+"net/ipv4/vs/expire_quiescent_template"] = "1"
	}
	return sets
}

// proxySettings plans to remember what kube-proxy changes. docker runs by then and has loaded what tracks connections.
func (p *planner) proxySettings() {
	for _, u := range p.index.Units {
		if u.Name == kubeProxyUnit {
			p.add(&SettingsStep{Unit: kubeProxyUnit, Sets: proxySettings(p.index.Cluster.Policy.ProxyMode, p.in.Facts.CPUs)})
		}
	}
}
