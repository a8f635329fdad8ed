package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/medium"
	"offgrid/bundle/progress"
	"offgrid/bundle/recovery"
	"offgrid/installer/host"
)

// Request is what the operator typed.
type Request struct {
	Roles  []string // empty: those of the cluster file for the address whose bundles are at hand
	IP     string   // "": the one local address that is in the cluster file
	Bundle string   // a bundle, or a directory with bundles; "": the directory of the executable
	Token  string   // bootstrap token in place of the pack's; "" none
}

// UsageError is a command that cannot be carried out as it was typed.
type UsageError struct {
	What string
	Hint string // the one command, or what to do
}

func (e *UsageError) Error() string { return e.What }

// checkRoles refuses roles that do not exist, and brings the others into the order in which they are installed.
func checkRoles(roles []string) ([]string, error) {
	for _, r := range roles {
		if !slices.Contains(bundle.RoleOrder(), r) {
			return nil, &UsageError{What: fmt.Sprintf("unknown role %q; the roles are %s", r, strings.Join(bundle.RoleOrder(), ", ")), Hint: "./install --help"}
		}
	}
	ordered := slices.DeleteFunc(bundle.RoleOrder(), func(r string) bool { return !slices.Contains(roles, r) })
	return ordered, nil
}

// openBundles opens the bundles that a request is about, in the order of the roles, if they are trusted. On error nothing stays open.
func openBundles(ctx context.Context, req Request, executable string, trust *bundle.Trust, report progress.Func) ([]*bundle.Bundle, error) {
	if req.Bundle == "" {
		if own, err := ownBundle(req, executable, trust); own != nil || err != nil {
			return own, err
		}
	}
	files, err := bundleFiles(req, executable)
	if err != nil {
		return nil, err
	}
	var opened []*bundle.Bundle
	for _, f := range files {
		found, err := openWanted(ctx, f, trust, report)
		if err != nil {
			closeAll(opened)
			return nil, err
		}
		opened = append(opened, found...)
	}
	if err := finished(files, opened, report); err != nil {
		closeAll(opened)
		return nil, err
	}
	slices.SortStableFunc(opened, func(a, b *bundle.Bundle) int {
		return slices.Index(bundle.RoleOrder(), a.Role.Role) - slices.Index(bundle.RoleOrder(), b.Role.Role)
	})
	return opened, nil
}

// finished refuses a bundle on a medium whose writing was interrupted, when it is of the build before.
func finished(files []bundleFile, opened []*bundle.Bundle, report progress.Func) error {
	for _, f := range files {
		var roots []string
		for _, b := range opened {
			if b.Path == f.path {
				roots = append(roots, b.RootDigest.String())
			}
		}
		unfinished, err := medium.Check(f.path, roots)
		if err != nil {
			return err
		}
		if unfinished {
			report.Report(progress.Event{Phase: "open", Kind: progress.Warn, Text: "writing this medium was not finished; " + f.path + " is of the build that was being written, and is used"})
		}
	}
	return nil
}

// bundleFile is a file, and which roles of a site file are wanted of it; nil: all.
type bundleFile struct {
	path  string
	roles []string
}

// openWanted opens the wanted bundles of a file. One that is no site file holds what it holds: preflight compares.
func openWanted(ctx context.Context, f bundleFile, trust *bundle.Trust, report progress.Func) ([]*bundle.Bundle, error) {
	all, err := bundle.OpenAllRepairing(ctx, f.path, bundle.Options{Trust: trust}, report)
	if err != nil || len(f.roles) == 0 || !all[0].InSite {
		return all, err
	}
	var kept []*bundle.Bundle
	var there []string
	for _, b := range all {
		there = append(there, b.Role.Role)
		if slices.Contains(f.roles, b.Role.Role) {
			kept = append(kept, b)
			continue
		}
		b.Close()
	}
	if len(kept) < len(f.roles) {
		closeAll(kept)
		return nil, &UsageError{What: fmt.Sprintf("%s holds the roles %s, and %s is asked for", f.path, strings.Join(there, ", "), strings.Join(f.roles, " and ")),
			Hint: "./install --role " + there[0] + " --bundle " + f.path}
	}
	return kept, nil
}

// ownBundle opens what is behind the program in its own file, when there is something and it has the roles that are asked for.
func ownBundle(req Request, executable string, trust *bundle.Trust) ([]*bundle.Bundle, error) {
	_, found, err := bundle.FileAppended(executable)
	if err != nil || !found {
		return nil, err
	}
	all, err := bundle.OpenWith(executable, bundle.Options{Trust: trust})
	if err != nil {
		return nil, err
	}
	var kept []*bundle.Bundle
	for _, b := range all {
		if len(req.Roles) == 0 || slices.Contains(req.Roles, b.Role.Role) {
			kept = append(kept, b)
			continue
		}
		b.Close()
	}
	if len(kept) < len(req.Roles) { // another role: beside it, perhaps
		closeAll(kept)
		return nil, nil
	}
	return kept, nil
}

func closeAll(bundles []*bundle.Bundle) {
	for _, b := range bundles {
		b.Close()
	}
}

// siteBundle is the file that holds the bundles of all roles.
const siteBundle = "site.bundle"

// bundleFiles finds the files. A bundle that is named is taken whatever its name; a role's own file comes before the site's.
func bundleFiles(req Request, executable string) ([]bundleFile, error) {
	dir := filepath.Dir(executable)
	if req.Bundle != "" {
		info, err := os.Stat(req.Bundle)
		if errors.Is(err, fs.ErrNotExist) && recovery.Here(req.Bundle) {
			return []bundleFile{{req.Bundle, req.Roles}}, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &UsageError{What: fmt.Sprintf("there is no bundle %q", req.Bundle), Hint: "ls -l " + filepath.Dir(req.Bundle)}
		}
		if err != nil {
			return nil, fmt.Errorf("opening bundle: %w", err)
		}
		if !info.IsDir() || exists(filepath.Join(req.Bundle, "index.json")) {
			return []bundleFile{{req.Bundle, req.Roles}}, nil
		}
		dir = req.Bundle
	}
	var found []bundleFile
	var missing, roles []string
	for _, role := range bundle.RoleOrder() {
		path := filepath.Join(dir, role+".bundle")
		if len(req.Roles) > 0 && !slices.Contains(req.Roles, role) {
			continue
		}
		if recovery.Here(path) {
			found = append(found, bundleFile{path: path})
		} else if len(req.Roles) > 0 {
			missing, roles = append(missing, path), append(roles, role)
		}
	}
	site := filepath.Join(dir, siteBundle)
	switch {
	case (len(missing) > 0 || len(found) == 0) && recovery.Here(site):
		return append(found, bundleFile{site, roles}), nil
	case len(missing) > 0:
		return nil, &UsageError{What: "there is no bundle " + strings.Join(missing, " and no bundle "),
			Hint: "copy it beside the installer, or name it: ./install --role " + strings.Join(req.Roles, ",") + " --bundle FILE"}
	case len(found) == 0:
		return nil, &UsageError{What: "there is no bundle in " + dir + " (site.bundle, etcd.bundle, master.bundle, node.bundle or lb.bundle)",
			Hint: "copy it beside the installer, or name it: ./install --bundle FILE"}
	}
	return found, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// findIP returns the address that was asked for, or the one address of this host that the cluster file has.
func findIP(ctx context.Context, h host.Host, req Request, index *bundle.RoleIndex) (string, error) {
	if req.IP != "" {
		return req.IP, nil
	}
	g := &gatherer{ctx: ctx, h: h}
	var here, planned []string
	for _, a := range parseAddresses(g.must("ip", "-o", "-4", "addr", "show")) {
		ip := a.Prefix.Addr().String()
		if a.Prefix.Addr().IsLoopback() || clusterInterface(a.Interface) {
			continue
		}
		here = append(here, ip)
		if _, ok := hostByIP(index, ip); ok {
			planned = append(planned, ip)
		}
	}
	switch {
	case g.err != nil:
		return "", g.err
	case len(planned) == 1:
		return planned[0], nil
	case len(here) == 0:
		return "", &UsageError{What: "this host has no address but its loopback: its network is not set up", Hint: "give the interface its address (nmtui), then: ip -o -4 addr show"}
	case len(planned) == 0:
		return "", &UsageError{What: fmt.Sprintf("none of this host's addresses (%s) is in the cluster file, which has %s", strings.Join(here, ", "), hostNames(index.Hosts)),
			Hint: "run this on one of these hosts, or add this host to cluster.yaml, then: bundle build"}
	}
	return "", &UsageError{What: "several addresses of this host are in the cluster file: " + strings.Join(planned, ", "), Hint: "./install --ip " + planned[0]}
}

// chooseRoles keeps the bundles whose roles are asked for, or planned for the address when none is.
func chooseRoles(req Request, ip string, opened []*bundle.Bundle) (roles []string, kept []*bundle.Bundle, err error) {
	if len(req.Roles) > len(opened) {
		return nil, opened, &UsageError{What: fmt.Sprintf("%d roles are asked for, and %s holds one", len(req.Roles), opened[0].Path),
			Hint: "./install --role " + opened[0].Role.Role + " --bundle " + opened[0].Path}
	}
	if len(req.Roles) > 0 {
		return req.Roles, opened, nil
	}
	h, ok := hostByIP(&opened[0].Role, ip)
	if req.Bundle != "" && len(opened) == 1 || !ok {
		for _, b := range opened {
			roles = append(roles, b.Role.Role)
		}
		return roles, opened, nil
	}
	for _, b := range opened {
		if slices.Contains(h.Roles, b.Role.Role) {
			roles, kept = append(roles, b.Role.Role), append(kept, b)
			continue
		}
		b.Close()
	}
	if len(kept) == 0 {
		return nil, nil, &UsageError{What: fmt.Sprintf("%s (%s) is planned as %s, and there is no bundle of that role here", ip, h.Name, strings.Join(h.Roles, " and ")),
			Hint: fmt.Sprintf("bring %s.bundle to this host", h.Roles[0])}
	}
	return roles, kept, nil
}
