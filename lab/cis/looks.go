package cis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Roles whose hosts are looked at. Cluster is what any API server says.
const (
	Etcd    = "etcd"
	Master  = "master"
	Node    = "node"
	Cluster = "cluster"
)

// A Check is one item of the benchmark on hosts of one role.
type Check struct {
	ID   string
	Role string
	look look
}

// A look says what is not as the benchmark wants it.
type look func(h *Host) ([]string, error)

// Look says what is not as the benchmark wants it, nothing when all is well. What cannot be looked at is not well.
func (c Check) Look(h *Host) []string {
	faults, err := c.look(h)
	if err != nil {
		return append(faults, err.Error())
	}
	return faults
}

// Of lists the checks of one role.
func Of(role string) []Check {
	return slices.DeleteFunc(Checks(), func(c Check) bool { return c.Role != role })
}

// flag judges the value of one setting.
func flag(process, name string, judge func(value string, set bool) bool) look {
	return func(h *Host) ([]string, error) {
		p, err := h.process(process)
		if err != nil {
			return nil, err
		}
		v, set := p.setting(name)
		switch {
		case judge(v, set):
			return nil, nil
		case !set:
			return []string{process + " runs without --" + name}, nil
		}
		return []string{fmt.Sprintf("%s runs with --%s=%s", process, name, v)}, nil
	}
}

func is(process, name, want string) look {
	return flag(process, name, func(v string, set bool) bool { return set && v == want })
}

// isOr is is, for a setting whose default is as good.
func isOr(process, name, want string) look {
	return flag(process, name, func(v string, set bool) bool { return !set || v == want })
}

func unset(process, name string) look {
	return flag(process, name, func(_ string, set bool) bool { return !set })
}

func set(process string, names ...string) look {
	var all []look
	for _, name := range names {
		all = append(all, flag(process, name, func(v string, set bool) bool { return set && v != "" }))
	}
	return both(all...)
}

func has(process, name, element string) look {
	return flag(process, name, func(v string, _ bool) bool { return slices.Contains(strings.Split(v, ","), element) })
}

func lacks(process, name, element string) look {
	return flag(process, name, func(v string, _ bool) bool { return !slices.Contains(strings.Split(v, ","), element) })
}

func atLeast(process, name string, least int) look {
	return flag(process, name, func(v string, _ bool) bool { n, err := strconv.Atoi(v); return err == nil && n >= least })
}

// both is all of them.
func both(looks ...look) look {
	return func(h *Host) ([]string, error) {
		var faults []string
		for _, l := range looks {
			more, err := l(h)
			if err != nil {
				return faults, err
			}
			faults = append(faults, more...)
		}
		return faults, nil
	}
}

// files names the files of a host that a check is about.
type files func(h *Host) ([]string, error)

func named(names ...string) files { return func(*Host) ([]string, error) { return names, nil } }

func started(process string) files {
	return func(h *Host) ([]string, error) { return h.started(process) }
}

func flagged(process string, flags ...string) files {
	return func(h *Host) ([]string, error) { return h.flagged(process, flags...) }
}

// kubeletFile is a file that the kubelet's configuration names.
func kubeletFile(keys ...string) files {
	return func(h *Host) ([]string, error) {
		v, err := h.kubelet(keys...)
		name, ok := v.(string)
		if err == nil && !ok {
			err = fmt.Errorf("kubelet names no file as %s", strings.Join(keys, "."))
		}
		return []string{name}, err
	}
}

// mode wants files that give no right which is not in most.
func mode(most uint64, which files) look {
	return each(which, func(f found) string {
		if f.mode&^most == 0 {
			return ""
		}
		return fmt.Sprintf("%s has mode %o, want %o at most", f.name, f.mode, most)
	})
}

func owner(want string, which files) look {
	return each(which, func(f found) string {
		if f.owner == want {
			return ""
		}
		return fmt.Sprintf("%s belongs to %s, not %s", f.name, f.owner, want)
	})
}

func each(which files, judge func(found) string) look {
	return func(h *Host) ([]string, error) {
		names, err := which(h)
		if err != nil {
			return nil, err
		}
		all, err := h.stat(names...)
		var faults []string
		for _, f := range all {
			if fault := judge(f); fault != "" {
				faults = append(faults, fault)
			}
		}
		return faults, err
	}
}

// kubelet wants a value in the kubelet's configuration.
func kubelet(want string, keys ...string) look {
	return kubeletJudged(func(v any) bool { return fmt.Sprint(v) == want }, keys...)
}

func kubeletJudged(judge func(v any) bool, keys ...string) look {
	return func(h *Host) ([]string, error) {
		v, err := h.kubelet(keys...)
		if err != nil || judge(v) {
			return nil, err
		}
		return []string{fmt.Sprintf("kubelet runs with %s: %v", strings.Join(keys, "."), v)}, nil
	}
}

// strong wants that a list of suites names only those with authenticated encryption, forward secrecy and no RSA key exchange.
func strong(suites string) bool {
	all := strings.Split(suites, ",")
	return suites != "" && !slices.ContainsFunc(all, func(s string) bool {
		return !strings.HasPrefix(s, "TLS_ECDHE_") || !strings.Contains(s, "_GCM_") && !strings.Contains(s, "_CHACHA20_")
	})
}
