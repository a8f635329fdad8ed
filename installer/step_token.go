package installer

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"offgrid/bundle/hostpack"
	"offgrid/installer/host"
)

const kindToken = "token"

// TokenStep makes the bootstrap token known to the cluster. Its life begins when the first master does so, not when the
// bundle was built. It changes the cluster, not the host, so it leaves no record.
type TokenStep struct {
	Token      hostpack.Token
	Kubectl    string // path on the host
	Kubeconfig string // path on the host
	Server     string // as of ApplyStep
	Now        func() time.Time
}

// ID implements Step.
func (s *TokenStep) ID() string { return kindToken + ":" + s.Token.ID }

// Line implements Step.
func (s *TokenStep) Line() Line {
	return Line{Verb: "make known", Object: "bootstrap token " + s.Token.ID, Why: fmt.Sprintf("nodes join with it for %d hours", s.Token.TTLSeconds/3600)}
}

func (s *TokenStep) apply() *ApplyStep {
	return &ApplyStep{Kubectl: s.Kubectl, Kubeconfig: s.Kubeconfig, Server: s.Server}
}

func (s *TokenStep) secret() string { return "bootstrap-token-" + s.Token.ID }

// Check implements Step. A token that has expired is needed again.
func (s *TokenStep) Check(ctx context.Context, h host.Host) (Status, error) {
	if _, err := h.Lstat(s.Kubectl); errors.Is(err, fs.ErrNotExist) {
		return Status{State: Needed, Why: s.Kubectl + " is not in place yet"}, nil
	}
	out, err := h.Run(ctx, nil, s.apply().kubectl("get", "secret", s.secret(), "-n", markNamespace, "--ignore-not-found", "-o", "jsonpath={.data.expiration}")...)
	if err != nil && noAnswer(err) {
		return pending("waiting for the API server: %s", lastLine(err))
	}
	if err != nil {
		return Status{}, err
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(out)))
	if err != nil || len(text) == 0 {
		return Status{State: Needed, Why: "the cluster does not know it"}, nil
	}
	expires, err := time.Parse(time.RFC3339, string(text))
	if err != nil || !s.Now().Before(expires) {
		return Status{State: Needed, Why: "it has expired"}, nil
	}
	return Status{State: Satisfied, Why: "valid until " + utc(expires)}, nil
}

// Do implements Step. The token goes through standard input: command lines can be seen by everybody.
func (s *TokenStep) Do(ctx context.Context, h host.Host) error {
	status, err := s.Check(ctx, h)
	if err != nil || status.State != Needed {
		return err
	}
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
		"metadata": map[string]string{"name": s.secret(), "namespace": markNamespace},
		"stringData": map[string]string{
			"token-id": s.Token.ID, "token-secret": s.Token.Secret,
			"expiration":                     s.Now().UTC().Add(time.Duration(s.Token.TTLSeconds) * time.Second).Format(time.RFC3339),
			"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
			"auth-extra-groups": "system:bootstrappers:offgrid",
			"description":       "made by offgrid; nodes of the cluster file join with it",
		},
	})
	if err != nil {
		return err
	}
	_, err = h.Run(ctx, bytes.NewReader(manifest), s.apply().kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=offgrid", "-f", "-")...)
	if err != nil && noAnswer(err) {
		return nil // Check says that it is pending
	}
	if err != nil {
		return fmt.Errorf("making the bootstrap token known: %w", err)
	}
	return nil
}

const kindMark = "mark"

// markStep writes beside a data directory whose data it holds. It stays for as long as the data does: an uninstall that
// keeps the one keeps the other, and a later install of the same cluster may then use the data again.
type markStep struct {
	Path    string
	Cluster string // id
}

// dataMark is where the mark of a data directory is.
func dataMark(dir string) string { return path.Clean(dir) + ".cluster" }

// ID implements Step.
func (s *markStep) ID() string { return kindMark + ":" + s.Path }

// Line implements Step.
func (s *markStep) Line() Line {
	return Line{Verb: "mark", Object: s.Path, Why: "tells which cluster the data beside it belongs to"}
}

// Check implements Step.
func (s *markStep) Check(_ context.Context, h host.Host) (Status, error) {
	now, err := readOptional(h, s.Path)
	if err != nil || now != s.Cluster+"\n" {
		return Status{State: Needed}, err
	}
	return Status{State: Satisfied}, nil
}

// Do implements Step.
func (s *markStep) Do(_ context.Context, h host.Host) error {
	return h.Write(s.Path, strings.NewReader(s.Cluster+"\n"), host.Meta{Mode: 0o644})
}
