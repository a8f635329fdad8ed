package main

import (
	"errors"
	"testing"

	"offgrid/bundle"
	"offgrid/installer"
)

func TestOnlyRenewalsAreRenewals(t *testing.T) {
	whole := installer.RoleJob{Bundle: &bundle.Bundle{Path: "etcd.bundle", Role: bundle.RoleIndex{Role: "etcd"}}}
	renewal := installer.RoleJob{Bundle: &bundle.Bundle{Path: "renewal/node.bundle", Renewal: true, Role: bundle.RoleIndex{Role: "node"}}}
	if err := renewalsOnly(&installer.Job{Roles: []installer.RoleJob{renewal}}); err != nil {
		t.Errorf("a renewal: %v", err)
	}
	var usage *installer.UsageError
	if err := renewalsOnly(&installer.Job{Roles: []installer.RoleJob{renewal, whole}}); !errors.As(err, &usage) {
		t.Errorf("a whole bundle beside a renewal: %v", err)
	}
}
