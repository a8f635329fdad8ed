package bundle

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// example returns the JSON block of FORMAT.md with the given label.
func example(t *testing.T, label string) []byte {
	t.Helper()
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```json "+label+"\n")
	block, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatalf("FORMAT.md has no example %q", label)
	}
	return []byte(block)
}

func TestTheExamplesOfTheSpecificationAreValid(t *testing.T) {
	var role RoleIndex
	if err := DecodeStrict(example(t, "role"), &role, MaxRoleIndexSize); err != nil {
		t.Fatal(err)
	}
	if err := role.Validate(); err != nil {
		t.Error(err)
	}
	var delta Delta
	if err := DecodeStrict(example(t, "delta"), &delta, MaxDeltaIndex); err != nil {
		t.Fatal(err)
	}
	if err := delta.validate(&role, func(Digest) bool { return true }); err != nil {
		t.Error(err)
	}
	var root Index
	if err := DecodeStrict(example(t, "root"), &root, MaxIndexJSON); err != nil {
		t.Fatal(err)
	}
	if err := checkRoot(&root); err != nil {
		t.Error(err)
	}
	data, err := MarshalCanonical(root)
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := indexFormat(data); !ok || n != Format {
		t.Errorf("format %d, %v", n, ok)
	}
}

func TestTheLimitsOfTheSpecificationAreTheConstants(t *testing.T) {
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^\|[^|]*\| (\w+) \| (\d+) \|$`).FindAllSubmatch(text, -1) {
		got = append(got, fmt.Sprintf("%s %s", m[1], m[2]))
	}
	want := []string{}
	for _, l := range []struct {
		name  string
		value int64
	}{
		{"MaxIndexJSON", MaxIndexJSON}, {"MaxRoleIndexSize", MaxRoleIndexSize}, {"MaxPackSize", MaxPackSize}, {"MaxSealedSize", MaxSealedSize}, {"MaxKeyFile", MaxKeyFile}, {"MaxBlobSize", MaxBlobSize},
		{"MaxMembers", MaxMembers}, {"MaxSignatures", MaxSignatures}, {"MaxArtifacts", MaxArtifacts}, {"MaxHosts", MaxHosts}, {"MaxImages", MaxImages}, {"MaxLayers", MaxLayers},
		{"MaxEntries", MaxEntries}, {"MaxPath", MaxPath}, {"MaxString", MaxString}, {"FrameSize", FrameSize},
		{"MaxFrameStored", MaxFrameStored}, {"MaxFrames", MaxFrames},
		{"MaxRoles", MaxRoles}, {"MaxDeltaIndex", MaxDeltaIndex}, {"MaxLeft", MaxLeft}, {"DeltaWindow", DeltaWindow},
	} {
		want = append(want, fmt.Sprintf("%s %d", l.name, l.value))
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("limits in FORMAT.md:\n%s\nwant\n%s", g, w)
	}
}
