package pki

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Names in the directory that renewals use.
const (
	hostsDir    = "hosts"
	oldDir      = "old"      // old/SERIAL/hosts/...: what the renewal of that serial replaced
	renewingDir = "renewing" // a renewal whose certificates are not all in place yet
	serialFile  = "renewal.json"
	certName    = "cert.pem"
	keyName     = "key.pem"
)

const serialFormat = 1

// Aside reports whether a directory of that name holds what is not, or not any more, the site's.
func Aside(name string) bool {
	return name == oldDir || name == renewingDir || strings.HasPrefix(name, tempPrefix)
}

// lastRenewal is renewal.json.
type lastRenewal struct {
	Format int   `json:"format"`
	Serial int64 `json:"serial"` // seconds since 1970 or, when the clock was behind, one more than the last
}

func serialName(serial int64) string { return strconv.FormatInt(serial, 10) }

// Serial returns the serial of the last renewal, 0 when there was none, or no directory.
func Serial(dir string) (int64, error) { return readSerial(dir) }

// readSerial returns the serial of the last renewal, 0 when there was none.
func readSerial(dir string) (int64, error) {
	path := filepath.Join(dir, serialFile)
	data, err := readSecret(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	var r lastRenewal
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		err = dec.Decode(&r)
	}
	if err == nil && (r.Format != serialFormat || r.Serial <= 0) {
		err = fmt.Errorf("format %d and serial %d; this program knows format %d", r.Format, r.Serial, serialFormat)
	}
	if err != nil {
		return 0, &Problems{Dir: dir, Items: []Problem{{serialFile, err.Error() + "; put the file back from a copy of the directory"}}}
	}
	return r.Serial, nil
}

// writeSerial writes renewal.json into a directory that nobody sees yet.
func writeSerial(dir string, serial int64) error {
	data, err := json.MarshalIndent(lastRenewal{serialFormat, serial}, "", "  ")
	if err != nil {
		return err
	}
	return fill(dir, map[string][]byte{serialFile: append(data, '\n')})
}
