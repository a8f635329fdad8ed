package installer

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

// MintedToken is a bootstrap token that the cluster knows now. It is shown once.
type MintedToken struct {
	Token   string    `json:"token"` // "abcdef.0123456789abcdef"
	Expires time.Time `json:"expires"`
}

// Limits of a token's life: kube-controller-manager removes what has expired.
const (
	tokenLeast = time.Minute
	tokenMost  = 365 * 24 * time.Hour
)

// MintToken makes a new bootstrap token known to the cluster, on a master.
func (s *Session) MintToken(ctx context.Context, life time.Duration) (MintedToken, error) {
	var m MintedToken
	if life < tokenLeast || life > tokenMost {
		return m, &UsageError{What: fmt.Sprintf("a token cannot live %s: from a minute to a year", life), Hint: "./install token --ttl 24h"}
	}
	r, err := s.carriedRole(ctx, bundle.RoleMaster, "token")
	if err != nil {
		return m, err
	}
	defer r.close()
	t := hostpack.Token{ID: randomText(6), Secret: randomText(16), TTLSeconds: int64(life / time.Second)}
	m.Token, m.Expires = t.ID+"."+t.Secret, s.Now().UTC().Add(time.Duration(t.TTLSeconds)*time.Second).Truncate(time.Second)
	step := &TokenStep{Token: t, Kubectl: kubectlPath, Kubeconfig: adminKubeconfig, Server: ownAPI(r.Input.Index, r.Host), Now: s.Now}
	if err := step.Do(ctx, s.Host); err != nil {
		return m, fmt.Errorf("making the token known: %w", err)
	}
	st, err := step.Check(ctx, s.Host)
	if err == nil && st.State != Satisfied {
		err = fmt.Errorf("making the token known: %s; see: systemctl status kube-apiserver", st.Why)
	}
	return m, err
}

// randomText is n characters of a-z and 0-9, each as likely as the others.
func randomText(n int) string {
	const signs = "abcdefghijklmnopqrstuvwxyz0123456789"
	text := make([]byte, 0, n)
	for len(text) < n {
		var b [1]byte
		rand.Read(b[:]) // never fails: it ends the program instead
		if b[0] < 252 { // 7 times 36
			text = append(text, signs[b[0]%36])
		}
	}
	return string(text)
}
