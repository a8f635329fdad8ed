package pki

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"offgrid/builder/internal/durable"
)

// staging is what is to take the place of what is there: all of it or none.
type staging struct {
	leaves map[string]Pair              // by their place in the directory
	dirs   map[string]map[string][]byte // authority and rotation, whole
	ends   bool                         // rotation goes
}

// rotation adds the authorities that do not sign in a step.
func (s *staging) rotation(files map[string][]byte, step int) error {
	state, err := json.MarshalIndent(rotation{rotationFormat, step}, "", "  ")
	if err != nil {
		return err
	}
	files[rotationFile] = append(state, '\n')
	s.dirs[rotationDir] = files
	return nil
}

// write writes it into one directory that stands there whole or not at all. From then on it has happened: finish only moves what
// is there.
func (s *staging) write(dir string, serial int64) error {
	temp, err := os.MkdirTemp(dir, tempPrefix)
	if err != nil {
		return err
	}
	err = writeSerial(temp, serial)
	for rel, pair := range s.leaves {
		if err == nil {
			err = writeDir(filepath.Join(temp, filepath.Dir(rel)), filepath.Base(rel), map[string][]byte{certName: pair.Cert, keyName: pair.Key})
		}
	}
	for name, files := range s.dirs {
		if err == nil {
			err = writeDir(temp, name, files)
		}
	}
	if err == nil && s.ends {
		err = fill(temp, map[string][]byte{endFile: nil})
	}
	if err == nil {
		err = durable.Dir(temp)
	}
	if err == nil {
		err = os.Rename(temp, filepath.Join(dir, renewingDir))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return durable.Dir(dir)
}

// staged lists the directories that take the place of others, relative to the directory of certificates.
func staged(at string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(at, hostsDir, "*", "*"))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{authorityDir, rotationDir} {
		if exists(filepath.Join(at, name)) {
			found = append(found, filepath.Join(at, name))
		}
	}
	return found, nil
}

// moveAside takes a directory out of the way, unless an earlier try has.
func moveAside(now, aside string) error {
	if err := os.MkdirAll(filepath.Dir(aside), 0o700); err != nil {
		return err
	}
	if exists(aside) || !exists(now) {
		return nil
	}
	return os.Rename(now, aside)
}
