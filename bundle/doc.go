// Package bundle is the format of offgrid's role bundles: how one is laid out, written, opened, checked and read.
//
// A bundle is an OCI image layout in one plain tar file. FORMAT.md beside this file specifies it; the code follows that
// text, not the other way round.
//
// # Invariants
//
//   - The same input gives the same bytes on every machine: no clock, no order of maps, no number of processors shows.
//   - What Open accepts, Write would have written: all metadata is canonical, so no two bundles differ in bytes and mean the same.
//   - Identity is the sha256 of content as it lies on a host; how it is compressed in the bundle is packaging.
//   - No byte is handed out before its digest is checked, or it is followed by an error instead of io.EOF. Compressed
//     frames are checked before they are decoded.
//   - Every count, size and length that is read has a limit, and the limits are constants (see limits.go).
//
// # Reading
//
// Open reads the metadata and the member headers, whatever the size of the bundle. A *Bundle is then safe for use by
// several goroutines. A bundle may also be a directory, which holds only the blobs that were carried to a host (Carry).
//
// # Not here
//
// Nothing is fetched, rendered or installed here: package builder makes the input of Write, package installer uses what
// Open gives. What one host alone may see is in package hostpack. Progress is reported as events (package progress).
package bundle
