package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// How long docker may take: to answer, and to unpack an image of some GiB on a slow disk.
const (
	dockerAskTime  = time.Minute
	dockerLoadTime = time.Hour
)

// dockerFormat makes docker print the ID of an image and all its names on one line.
const dockerFormat = `{{.Id}} {{json .RepoTags}}`

// noSuchImage is in every line that docker prints about an image that it does not have.
const noSuchImage = "No such image"

// dockerImages asks docker which images it has under those refs, with one call, and returns their IDs ("sha256:...") by
// ref. A ref that it does not know is not in the map. The error means that docker does not answer.
func dockerImages(ctx context.Context, h host.Host, refs ...string) (map[string]string, error) {
	found := map[string]string{}
	if len(refs) == 0 {
		return found, nil
	}
	out, err := dockerRun(ctx, h, dockerAskTime, nil, append([]string{"image", "inspect", "--format", dockerFormat}, refs...)...)
	if err != nil && !onlyMissing(err) {
		return nil, err
	}
	for line := range strings.Lines(string(out)) {
		id, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue // an empty line says that there is none
		}
		var names []string
		if _, err := bundle.ParseDigest(id); err != nil || json.Unmarshal([]byte(rest), &names) != nil {
			return nil, fmt.Errorf("asking docker for its images: it said %.200q", line)
		}
		for _, ref := range refs {
			if slices.Contains(names, bundle.DockerName(ref)) {
				found[ref] = id
			}
		}
	}
	return found, nil
}

// onlyMissing reports whether docker complains of nothing but images that it does not have.
func onlyMissing(err error) bool {
	var run *host.RunError
	if !errors.As(err, &run) || run.Code < 0 || strings.TrimSpace(run.Stderr) == "" {
		return false
	}
	for line := range strings.Lines(run.Stderr) {
		if strings.TrimSpace(line) != "" && !strings.Contains(line, noSuchImage) {
			return false
		}
	}
	return true
}

// dockerRun runs the docker command. One that hangs ends after limit.
func dockerRun(ctx context.Context, h host.Host, limit time.Duration, stdin io.Reader, args ...string) ([]byte, error) {
	short, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err := h.Run(short, stdin, append([]string{"docker"}, args...)...)
	if err != nil && ctx.Err() == nil && short.Err() != nil {
		err = fmt.Errorf("docker %s did not end within %s; see: systemctl status docker", args[0], limit)
	}
	return out, err
}

// complaint is the last line of what docker said, or of the error when it said nothing.
func complaint(err error) string {
	var run *host.RunError
	if errors.As(err, &run) && strings.TrimSpace(run.Stderr) != "" {
		err = errors.New(run.Stderr)
	}
	return lastLine(err)
}
