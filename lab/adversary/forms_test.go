package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os/exec"
	"strings"
)

// forms are the ways in which a secret could lie in a file.
func forms(secret string) map[string][]byte {
	around := func(s string) []byte { return []byte("something {\"before\": \"" + s + "\"} and behind it\n") }
	all := map[string][]byte{
		"plain": around(secret), "hex": around(hex.EncodeToString([]byte(secret))), "HEX": around(strings.ToUpper(hex.EncodeToString([]byte(secret)))),
	}
	for n := range 3 {
		text := "???"[:n] + secret + ">>"
		all[fmt.Sprint("base64 after ", n)] = around(base64.StdEncoding.EncodeToString([]byte(text)))
		all[fmt.Sprint("base64url after ", n)] = around(base64.URLEncoding.EncodeToString([]byte(text)))
	}
	all["base64 of base64 of base64"] = around(base64.StdEncoding.EncodeToString(around(base64.StdEncoding.EncodeToString(around(base64.StdEncoding.EncodeToString([]byte("x" + secret)))))))
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(around(secret))
	z.Close()
	all["gzip among other bytes"] = append(append([]byte("before"), b.Bytes()...), "behind"...)
	cmd := exec.Command("zstd", "-c")
	cmd.Stdin = bytes.NewReader(around(base64.StdEncoding.EncodeToString([]byte(secret))))
	if out, err := cmd.Output(); err == nil {
		all["base64 in zstd among other bytes"] = append(append([]byte("before"), out...), "behind"...)
	}
	return all
}
