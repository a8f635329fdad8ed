package builder

import (
	"fmt"
	"path"
	"strings"
)

// parseSums finds the digest of a file in a checksum list as sha256sum and sha512sum write it, or in a file that holds
// nothing but the digest. The digest has so many hex digits.
func parseSums(list []byte, file string, digits int) (string, error) {
	found := ""
	lines := strings.Split(strings.TrimSpace(string(list)), "\n")
	for _, line := range lines {
		fields := strings.Fields(line)
		bare := len(fields) == 1 && len(lines) == 1
		if !bare && (len(fields) != 2 || path.Base(strings.TrimPrefix(fields[1], "*")) != file) {
			continue
		}
		sum := strings.ToLower(fields[0])
		if len(sum) != digits || strings.Trim(sum, "0123456789abcdef") != "" {
			return "", fmt.Errorf("what it says about %q is no digest of %d hex digits", file, digits)
		}
		if found != "" && found != sum {
			return "", fmt.Errorf("it names %q twice, with different digests", file)
		}
		found = sum
	}
	if found == "" {
		return "", fmt.Errorf("it does not name %q", file)
	}
	return found, nil
}
