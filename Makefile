# The logic is in Go and in lab/; this only names it.
GO     ?= go
STATIC := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid="
TESTED  = $$($(GO) list ./... | grep -v '^offgrid/lab/e2e')
# Without the race detector, which would take minutes and find nothing: one goroutine each, or tests that start programs whose
# packages are tested with it.
ALONE   = offgrid/lab/adversary|offgrid/builder/internal/inflate|offgrid/cmd/bundle
# Of the installer: one goroutine at a time, the one that is killed and the one that comes after it.
KILLS   = Kill|Crash

.PHONY: build test kills lint cross fuzz repro bench demo demo-down e2e e2e-full e2e-vm conformance clean

build: ## bin/install and bin/bundle, static
	$(STATIC) -o bin/install ./cmd/install
	$(STATIC) -o bin/bundle ./cmd/bundle

test: ## unit, script and integration tests: no root, no network but loopback
	$(GO) vet ./...
	@unformatted="$$(gofmt -l cmd bundle builder installer manifests lab)"; \
	if [ -n "$$unformatted" ]; then echo "gofmt -w these: $$unformatted"; exit 1; fi
	$(GO) test -race -timeout 30m $$(for p in $(TESTED); do echo $$p; done | grep -vxE '$(ALONE)|offgrid/installer')
	$(GO) test -race -timeout 30m -skip '$(KILLS)' ./installer
	$(GO) test -timeout 30m -run '$(KILLS)' ./installer
	$(GO) test -timeout 30m $(subst |, ,$(ALONE))

kills: ## kills the installer before and after every change of every step of every role; test tries some of them; and every damage to a bundle
	OFFGRID_KILLS=all $(GO) test -count=1 -timeout 60m -run '$(KILLS)' ./installer
	OFFGRID_DAMAGE=all $(GO) test -count=1 -timeout 20m -run 'Damage' ./lab/adversary

lint: ## what golangci-lint finds beyond go vet
	golangci-lint run

cross: ## bundle runs on every machine that people build on; install only where the hosts are
	GOOS=linux   GOARCH=amd64 $(STATIC) -o /dev/null ./cmd/install
	GOOS=linux   GOARCH=arm64 $(STATIC) -o /dev/null ./cmd/bundle
	GOOS=darwin  GOARCH=amd64 $(STATIC) -o /dev/null ./cmd/bundle
	GOOS=darwin  GOARCH=arm64 $(STATIC) -o /dev/null ./cmd/bundle
	GOOS=windows GOARCH=amd64 $(STATIC) -o /dev/null ./cmd/bundle

FUZZTIME ?= 30s
fuzz: ## every Fuzz function for FUZZTIME
	@set -e; for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "== $$package $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
	  done; \
	done

repro: ## the same source gives the same programs and the same bundles, whatever the directory, time zone and umask
	lab/repro

bench: ## ratios against doing it by hand
	$(GO) test -run '^$$' -bench 'AgainstLibsolv|TenThousand' -benchtime 3x ./builder ./builder/internal/solver
	lab/bench/run

demo: build ## a cluster on this machine; root
	lab/demo

demo-down:
	lab/down

e2e: build ## the lab's hosts, with all that can go wrong; root
	lab/e2e/run

e2e-full: build
	lab/e2e/run --full

e2e-vm: build ## a kernel upgrade under a real GRUB in an emulated machine, and a node on it with kube-proxy in ipvs mode; root
	lab/vm/run

conformance: ## Kubernetes' own end-to-end suite against the demo; goes on where it was; root
	lab/conformance/run

clean:
	rm -rf bin
