package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A fault is a line of the faults file: what goes wrong, for which addresses, how often.
//
//	flip SHA256SUMS            the byte in the middle of the answer is another
//	flip@200 centos/gpg        the byte at offset 200 is another
//	short docker-ce 1          half of the answer, once, then the connection ends
//	404 kubernetes-server      no such file
//	503 primary.xml 2          busy, twice
//	silent dl.k8s.io           nothing at all: the connection ends without an answer
type fault struct {
	kind, part string
	at         int64 // kind flip: offset of the byte, -1: the middle
	times      int   // 0: always
}

func readFaults(name string) []fault {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil // no file, no faults
	}
	var faults []fault
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		one := fault{kind: f[0], part: f[1], at: -1}
		if kind, at, ok := strings.Cut(f[0], "@"); ok {
			one.kind = kind
			if one.at, err = strconv.ParseInt(at, 10, 64); err != nil {
				one.kind = f[0] // not an offset: no fault that is known
			}
		}
		if len(f) > 2 {
			one.times, _ = strconv.Atoi(f[2]) // not a number: always
		}
		faults = append(faults, one)
	}
	return faults
}

// faulty lets go wrong what the file name says.
func faulty(name string, next http.Handler) http.Handler {
	var (
		mu   sync.Mutex
		seen = make(map[fault]int)
	)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, f := range readFaults(name) {
			if !strings.Contains(r.URL.Path, f.part) {
				continue
			}
			mu.Lock()
			seen[f]++
			over := f.times > 0 && seen[f] > f.times
			mu.Unlock()
			if over {
				continue
			}
			f.answer(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (f fault) answer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	switch f.kind {
	case "404":
		http.NotFound(w, r)
	case "503":
		w.Header().Set("Retry-After", "0")
		http.Error(w, "busy", http.StatusServiceUnavailable)
	case "silent":
		panic(http.ErrAbortHandler)
	case "flip":
		next.ServeHTTP(&damaged{ResponseWriter: w, at: f.at}, r)
	case "short":
		d := &damaged{ResponseWriter: w, at: -1, cut: true}
		next.ServeHTTP(d, r)
		_ = http.NewResponseController(w).Flush() // the connection ends next, whatever came of it
		panic(http.ErrAbortHandler)
	default:
		http.Error(w, "the lab knows no fault "+f.kind, http.StatusInternalServerError)
	}
}

// damaged changes one byte of an answer, or ends it there.
type damaged struct {
	http.ResponseWriter
	at   int64 // of the byte, -1: in the middle, not known yet
	sent int64
	cut  bool
}

func (d *damaged) WriteHeader(status int) {
	if d.at < 0 {
		d.at = 0
		if length, err := strconv.ParseInt(d.Header().Get("Content-Length"), 10, 64); err == nil {
			d.at = length / 2
		}
	}
	d.ResponseWriter.WriteHeader(status)
}

func (d *damaged) Write(p []byte) (int, error) {
	if d.at < 0 {
		d.WriteHeader(http.StatusOK)
	}
	start := d.sent
	d.sent += int64(len(p))
	if d.at < start || d.at >= d.sent {
		if d.cut && d.at < start {
			return len(p), nil
		}
		return d.ResponseWriter.Write(p)
	}
	if d.cut {
		_, err := d.ResponseWriter.Write(p[:d.at-start])
		return len(p), err
	}
	q := append([]byte(nil), p...)
	q[d.at-start] ^= 0x01
	return d.ResponseWriter.Write(q)
}

// accessLog appends a line for each answer: time, method, path, status, range, bytes.
func accessLog(out io.Writer, next http.Handler) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &counted{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(out, "%s %s %s %d %q %d\n", time.Now().UTC().Format(time.RFC3339), r.Method, r.URL.Path, c.status, r.Header.Get("Range"), c.bytes)
		}()
		next.ServeHTTP(c, r)
	})
}

type counted struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap lets the answer be flushed.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *counted) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}
