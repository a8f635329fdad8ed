package pki

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cloudflare/cfssl/helpers"
	"offgrid/bundle/progress"
)

const (
	authorityDir = "authority"
	siteFile     = "site.json"
	siteFormat   = 1
	servicePair  = "service-account"
)

// site is site.json: what is random and not a key pair.
type site struct {
	Format        int    `json:"format"`
	ClusterID     string `json:"clusterID"`
	TokenID       string `json:"tokenID"`
	TokenSecret   string `json:"tokenSecret"`
	EncryptionKey string `json:"encryptionKey"`
}

func caNames() []string { return []string{CAKubernetes, CAEtcd, CAFrontProxy} }

// ensureAuthority reads the CAs and the site's secrets into set, or makes them when the site is new.
func ensureAuthority(dir string, req Request, set *Set) error {
	path := filepath.Join(dir, authorityDir)
	if !exists(path) {
		if exists(filepath.Join(dir, hostsDir)) {
			return &Problems{Dir: dir, Items: []Problem{{authorityDir, "the certificate authorities are gone, but hosts have certificates of them; put the directory back from a copy (a new site needs a new, empty directory)"}}}
		}
		if err := makeAuthority(dir, req); err != nil {
			return fmt.Errorf("making the certificate authorities in %q: %w", dir, err)
		}
		set.Made = append(set.Made, authorityDir)
	}
	problems := &Problems{Dir: dir}
	readAuthority(dir, req, set, problems)
	if len(problems.Items) > 0 {
		return problems
	}
	return nil
}

func makeAuthority(dir string, req Request) error {
	files := map[string][]byte{}
	for _, name := range caNames() {
		ca, err := newCA(name, req.Cluster.Metadata.Name, req.Cluster.Security.CertCAYears, req.Now)
		if err != nil {
			return err
		}
		files[name+"-ca.pem"], files[name+"-ca-key.pem"] = ca.Cert, ca.Key
	}
	private, public, err := newServiceKey()
	if err != nil {
		return err
	}
	files[servicePair+"-key.pem"], files[servicePair+"-pub.pem"] = private, public
	secrets, err := newSecrets()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(secrets, "", "  ")
	if err != nil {
		return err
	}
	files[siteFile] = append(text, '\n')
	return writeDir(dir, authorityDir, files)
}

func readAuthority(dir string, req Request, set *Set, problems *Problems) {
	path := filepath.Join(dir, authorityDir)
	const remedy = "put the file back from a copy of the directory"
	set.cas = map[string]Pair{}
	for _, name := range caNames() {
		rel := filepath.Join(authorityDir, name+"-ca.pem")
		ca, err := readPair(path, name+"-ca.pem", name+"-ca-key.pem")
		switch {
		case err != nil:
			problems.add(rel, "%v; %s", err, remedy)
			continue
		case !ca.Parsed.IsCA || ca.Parsed.CheckSignatureFrom(ca.Parsed) != nil:
			problems.add(rel, "this is not a certificate authority; %s", remedy)
			continue
		}
		checkValidity(rel, ca, req, problems, "every certificate of the site ends with it; a new one has to take its place before (bundle pki rotate); now it means a new directory and a new installation of every host")
		set.cas[name] = ca
	}
	readServicePair(path, set, problems, remedy)
	readRotation(dir, set, problems)
	s, err := readSite(filepath.Join(path, siteFile))
	if err != nil {
		problems.add(filepath.Join(authorityDir, siteFile), "%v; %s", err, remedy)
		return
	}
	set.ClusterID, set.TokenID, set.TokenSecret, set.EncryptionKey = s.ClusterID, s.TokenID, s.TokenSecret, s.EncryptionKey
}

func readServicePair(path string, set *Set, problems *Problems, remedy string) {
	var err error
	if set.ServiceKey, err = readSecret(filepath.Join(path, servicePair+"-key.pem")); err == nil {
		set.ServicePub, err = readSecret(filepath.Join(path, servicePair+"-pub.pem"))
	}
	if err == nil {
		err = matchService(set.ServiceKey, set.ServicePub)
	}
	if err != nil {
		problems.add(filepath.Join(authorityDir, servicePair+"-key.pem"), "%v; %s", err, remedy)
	}
}

// matchService refuses a public key that does not belong to the private one: tokens would be refused by the API server
// that gave them out.
func matchService(private, public []byte) error {
	key, err := helpers.ParsePrivateKeyPEM(private)
	if err != nil {
		return fmt.Errorf("the service account key is not readable: %w", err)
	}
	want, err := publicPEM(key.Public())
	if err != nil {
		return err
	}
	if !bytes.Equal(want, public) {
		return errors.New("the service account's private and public key do not belong together")
	}
	return nil
}

func readSite(path string) (site, error) {
	data, err := readSecret(path)
	if err != nil {
		return site{}, err
	}
	var form struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &form); err != nil {
		return site{}, fmt.Errorf("not readable: %w", err)
	}
	if form.Format != siteFormat {
		return site{}, fmt.Errorf("format %d; this program knows %d", form.Format, siteFormat)
	}
	var s site
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return site{}, fmt.Errorf("not readable: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return site{}, errors.New("not readable: something follows the content")
	}
	id, idErr := hex.DecodeString(s.ClusterID)
	key, keyErr := base64.StdEncoding.DecodeString(s.EncryptionKey)
	if idErr != nil || len(id) != 16 || keyErr != nil || len(key) != 32 || !isToken(s.TokenID, 6) || !isToken(s.TokenSecret, 16) {
		return site{}, errors.New("a value in it is damaged")
	}
	return s, nil
}

func isToken(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// checkValidity finds certificates that are over or not yet valid.
func checkValidity(rel string, p Pair, req Request, problems *Problems, remedy string) {
	from, to := p.Parsed.NotBefore, p.Parsed.NotAfter
	switch {
	case !req.Now.Before(to):
		problems.add(rel, "expired at %s; %s", to.UTC().Format(time.DateOnly), remedy)
	case req.Now.Before(from):
		problems.add(rel, "valid only from %s, and the clock says %s; set the clock of this machine", from.UTC().Format("2006-01-02 15:04"), req.Now.UTC().Format("2006-01-02 15:04"))
	}
}

// sayEnding speaks of what ends soon: a build renews nothing by itself.
func sayEnding(set *Set, req Request) {
	warn := func(format string, args ...any) {
		req.Report.Report(progress.Event{Phase: "pki", Kind: progress.Warn, Text: fmt.Sprintf(format, args...)})
	}
	soon := func(p Pair) bool { return p.Parsed.NotAfter.Sub(req.Now) < renewalNoticeAfter }
	for _, name := range caNames() {
		if ca := set.cas[name]; soon(ca) {
			warn("the %s authority ends at %s, and every certificate with it; begin to change it: bundle pki rotate", name, ca.Parsed.NotAfter.UTC().Format(time.DateOnly))
		}
	}
	ending := slices.DeleteFunc(set.Leaves(), func(l Leaf) bool { return !soon(l.Pair) })
	if len(ending) == 0 {
		return
	}
	first := slices.MinFunc(ending, func(a, b Leaf) int { return a.Parsed.NotAfter.Compare(b.Parsed.NotAfter) })
	days := int(renewalNoticeAfter / (24 * time.Hour))
	warn("%d of %d certificates end within %d days, the first at %s (%s of %s); make them anew with: bundle pki renew --expiring %d",
		len(ending), len(set.leaves), days, first.Parsed.NotAfter.UTC().Format(time.DateOnly), first.Name, first.Host, days)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
