package installer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"offgrid/installer/hosttest"
)

func journalOptions() JournalOptions {
	return JournalOptions{Installer: "v1", Run: "r", Now: func() time.Time { return time.Unix(1700000000, 0) }}
}

func TestTheJournalOfFormat0IsReadForEver(t *testing.T) {
	j, err := ReadJournal("testdata/journal-v0.jsonl")
	must(t, err)
	var got []string
	for _, c := range j.Claims() {
		got = append(got, fmt.Sprintf("%s %v begins %d done %v", c.Step, c.Roles, len(c.Begins), c.Done))
	}
	want := []string{"file:/etc/motd [node] begins 2 done true", "sysctl:net.ipv4.ip_forward [node] begins 1 done false"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("claims:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheJournalOfFormat0IsUndoneForEver(t *testing.T) {
	data, err := os.ReadFile("testdata/journal-v0.jsonl")
	must(t, err)
	h := hosttest.New(t)
	h.Put(t, "/etc/motd", "new")
	h.Put(t, "/proc/sys/net/ipv4/ip_forward", "1\n")
	h.Put(t, StateDir+"/journal.jsonl", string(data))
	if _, err := undoAll(h, false); err != nil {
		t.Fatal(err)
	}
	there, err := os.Stat(filepath.Join(h.Root, StateDir))
	if got := h.Get("/etc/motd") + h.Get("/proc/sys/net/ipv4/ip_forward"); got != "old0\n" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after undo %q, state directory %v", got, there)
	}
}

func TestATornTailIsDroppedAndWrittenOver(t *testing.T) {
	for name, tail := range map[string]string{
		"nothing": "", "half a record": `{"seq":2,"time":`, "zeros": "\x00\x00\x00", "a record with a hole": "{\"seq\":2,\"st\x00\x00\x00\x00\"}\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "j")
			j, err := OpenJournal(path, journalOptions())
			must(t, err)
			must(t, j.Append(Record{Role: "etcd", Step: "file:/a", Event: Begin, Before: []byte(`{"x":1}`)}))
			must(t, j.Close())
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString(tail)
			must(t, errors.Join(err, f.Close()))
			j, err = OpenJournal(path, journalOptions())
			must(t, err)
			must(t, j.Append(Record{Role: "etcd", Step: "file:/a", Event: DoneOK}))
			must(t, j.Close())
			data, err := os.ReadFile(path)
			must(t, err)
			want := `{"format":0,"installer":"v1"}
{"seq":1,"time":"2023-11-14T22:13:20Z","run":"r","role":"etcd","step":"file:/a","event":"begin","before":{"x":1}}
{"seq":2,"time":"2023-11-14T22:13:20Z","run":"r","role":"etcd","step":"file:/a","event":"done"}
`
			if string(data) != want {
				t.Errorf("got:\n%s\nwant:\n%s", data, want)
			}
		})
	}
}

func TestAJournalWhoseHeaderWasTornBeginsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	must(t, os.WriteFile(path, []byte(`{"form`), 0o600))
	j, err := OpenJournal(path, journalOptions())
	must(t, err)
	must(t, j.Close())
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "{\"format\":0,\"installer\":\"v1\"}\n" {
		t.Errorf("%q %v", data, err)
	}
}

func TestADamagedJournalIsRefusedWithTheLine(t *testing.T) {
	head := `{"format":0,"installer":"v1"}` + "\n"
	rec := `{"seq":1,"time":"2026-01-02T03:04:05Z","run":"r","role":"","step":"a:b","event":"begin"}` + "\n"
	for text, want := range map[string]string{
		"x\n" + rec:                              "line 1: reading the header",
		"{}\n":                                   "line 1: reading the header: it has no format number",
		`{"format":1}` + "\n":                    "line 1: the journal has format 1 and this installer reads format 0",
		head + "{\n" + rec:                       "line 2: decoding JSON",
		head + rec + rec:                         "line 3: it has number 1 where 2 should be",
		head + `{"seq":1,"more":1}` + "\n" + rec: `line 2: decoding JSON: json: unknown field "more"`,
		head + strings.Replace(rec, "begin", "began", 1) + rec: `line 2: unknown event "began"`,
		head + strings.Replace(rec, "a:b", "", 1):              "line 2: it names no step",
	} {
		path := filepath.Join(t.TempDir(), "j")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := OpenJournal(path, journalOptions())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
		after, rerr := os.ReadFile(path)
		if rerr != nil || string(after) != text {
			t.Errorf("%q was changed to %q", text, after)
		}
	}
}

func FuzzJournal(f *testing.F) {
	data, err := os.ReadFile("testdata/journal-v0.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-20])
	f.Add([]byte("{\"format\":0,\"installer\":\"\"}\n\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		recs, good, err := parseJournal(data)
		if err != nil {
			return
		}
		if good > len(data) || good > 0 && data[good-1] != '\n' {
			t.Fatalf("%d good bytes of %d", good, len(data))
		}
		again, same, err := parseJournal(data[:good])
		if err != nil || len(again) != len(recs) || same != good || bytes.Count(data[:good], []byte("\n")) != len(recs)+min(good, 1) {
			t.Fatalf("read again: %d records of %d, %d bytes of %d, %v", len(again), len(recs), same, good, err)
		}
		(&Journal{recs: recs}).Claims()
	})
}
