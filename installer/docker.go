package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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

// daemonSays begins a complaint of docker itself, not of a client that does not reach it.
const daemonSays = "Error response from daemon:"

// dockerImage is what docker has under a name.
type dockerImage struct {
	ID    string // "sha256:..."; "" when docker has none, or cannot say
	Fault string // what docker says of an image that it has and cannot read; "" when it can
}

// dockerImages asks docker which images it has under those refs, with one call unless it complains. A ref that it does not
// know is not in the map. The error means that docker does not answer.
func dockerImages(ctx context.Context, h host.Host, refs ...string) (map[string]dockerImage, error) {
	found := map[string]dockerImage{}
	if len(refs) == 0 {
		return found, nil
	}
	out, err := dockerRun(ctx, h, dockerAskTime, nil, append([]string{"image", "inspect", "--format", dockerFormat}, refs...)...)
	switch {
	case err == nil || onlyMissing(err):
		return found, readImages(found, refs, string(out))
	case !fromDaemon(err):
		return nil, err
	case len(refs) == 1:
		found[refs[0]] = dockerImage{Fault: complaint(err)}
		return found, nil
	}
	for _, ref := range refs { // docker does not say which of them it complains of
		one, err := dockerImages(ctx, h, ref)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, one)
	}
	return found, nil
}

// readImages reads what docker printed in dockerFormat.
func readImages(found map[string]dockerImage, refs []string, out string) error {
	for line := range strings.Lines(out) {
		id, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue // an empty line says that there is none
		}
		var names []string
		if _, err := bundle.ParseDigest(id); err != nil || json.Unmarshal([]byte(rest), &names) != nil {
			return fmt.Errorf("asking docker for its images: it said %.200q", line)
		}
		for _, ref := range refs {
			if slices.Contains(names, bundle.DockerName(ref)) {
				found[ref] = dockerImage{ID: id}
			}
		}
	}
	return nil
}

// fromDaemon reports whether docker was reached and complains.
func fromDaemon(err error) bool {
	var run *host.RunError
	return errors.As(err, &run) && strings.Contains(run.Stderr, daemonSays)
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
