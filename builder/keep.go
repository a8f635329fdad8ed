package builder

import (
	"encoding/json"

	"offgrid/builder/internal/store"
	"offgrid/bundle"
)

// needs adds to keep what a build from the lock reads: the downloads, and of programs the stored form and the record that
// leads to it.
func needs(s *Store, lock *Lock, keep *store.Keep) {
	encoded := func(content bundle.Digest, contains string) {
		for _, level := range []bundle.Level{bundle.Default, bundle.Best} {
			key := encodedKey(level, content, contains)
			keep.Records[key] = true
			var b bundle.Blob
			if data, ok := s.Record(key); ok && json.Unmarshal(data, &b) == nil {
				keep.Blobs[b.Stored] = true
			}
		}
	}
	for _, e := range lock.Entries {
		keep.Blobs[e.SHA256] = true
		if e.Kind == EntryFile {
			encoded(e.SHA256, "")
		}
		for _, m := range e.Members {
			keep.Records[memberKey(e.SHA256, m.Path, m.Contains)] = true
			encoded(m.SHA256, m.Contains)
		}
		if e.Image == nil {
			continue
		}
		for _, b := range e.Image.Layers {
			keep.Blobs[b.SHA256] = true
		}
		keep.Blobs[e.Image.Config.SHA256] = true
		if e.Image.Index != nil {
			keep.Blobs[e.Image.Index.SHA256] = true
		}
	}
}
