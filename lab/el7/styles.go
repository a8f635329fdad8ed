package main

import (
	"fmt"
	"slices"
	"strings"
)

// popt reads arguments as rpm's option library does: long options in full, with "=value" or the value after them, short ones
// in clusters, options anywhere.
func (t *table) popt(args []string) (*parsed, error) {
	p := &parsed{}
	for i := 0; i < len(args); i++ {
		a := args[i]
		used := 0
		var err error
		switch {
		case a == "--":
			p.operands = append(p.operands, args[i+1:]...)
			return p, nil
		case strings.HasPrefix(a, "--"):
			name, _, _ := strings.Cut(a[2:], "=")
			if _, ok := t.Long[name]; !ok {
				return nil, fmt.Errorf("there is no option --%s", name)
			}
			used, err = t.long(p, a[2:], args[i+1:], true)
		case len(a) > 1 && a[0] == '-':
			used, err = t.cluster(p, a[1:], args[i+1:])
		default:
			p.operands = append(p.operands, a)
		}
		if err != nil {
			return nil, err
		}
		i += used
	}
	return p, nil
}

// curl reads arguments as curl does: no "=value", and "--no-" before an option without a value.
func (t *table) curl(args []string) (*parsed, error) {
	p := &parsed{}
	for i := 0; i < len(args); i++ {
		a := args[i]
		used := 0
		var err error
		switch {
		case strings.HasPrefix(a, "--") && len(a) > 2:
			name := a[2:]
			if rest, ok := strings.CutPrefix(name, "no-"); ok {
				if full, ok := t.complete(rest); ok && t.Long[full] == noValue {
					name = rest
				}
			}
			used, err = t.long(p, name, args[i+1:], false)
		case len(a) > 1 && a[0] == '-' && a != "--":
			used, err = t.cluster(p, a[1:], args[i+1:])
		default:
			p.operands = append(p.operands, a)
		}
		if err != nil {
			return nil, err
		}
		i += used
	}
	return p, nil
}

// ip reads arguments as ip does: options of one or two dashes before the object, words may be shortened to any beginning.
func (t *table) ip(args []string) (*parsed, error) {
	p := &parsed{}
	i := 0
	for ; i < len(args) && strings.HasPrefix(args[i], "-") && args[i] != "--"; i++ {
		word := strings.TrimPrefix(args[i][1:], "-")
		if _, ok := t.Short[first(word)]; ok && len(word) == 1 {
			continue
		}
		word, _, _ = strings.Cut(word, "=") // -color=auto came later and is not in the table as such
		name, ok := t.beginning(word)
		if !ok || word == "" || strings.Contains(args[i], "=") {
			return nil, fmt.Errorf("there is no option %q", args[i])
		}
		if t.Long[name] == needsValue {
			i++
		}
	}
	if i < len(args) && args[i] == "--" {
		i++
	}
	if i >= len(args) {
		return p, nil
	}
	if !slices.ContainsFunc(t.Verbs, func(v string) bool { return strings.HasPrefix(v, args[i]) }) {
		return nil, fmt.Errorf("there is no object %q", args[i])
	}
	p.operands = args[i:]
	return p, nil
}

func first(word string) byte {
	if word == "" {
		return 0
	}
	return word[0]
}

// beginning finds the first long option of the table that begins with word.
func (t *table) beginning(word string) (string, bool) {
	i := slices.IndexFunc(t.Order, func(n string) bool { return strings.HasPrefix(n, word) })
	if i < 0 {
		return "", false
	}
	return t.Order[i], true
}

// dd reads operands of the form name=value.
func (t *table) dd(args []string) (*parsed, error) {
	p := &parsed{}
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		switch {
		case strings.HasPrefix(a, "--"):
			if _, known := t.Long[a[2:]]; !known {
				return nil, fmt.Errorf("there is no option %q", a)
			}
		case !ok || !slices.Contains(t.Verbs, name):
			return nil, fmt.Errorf("there is no operand %q", a)
		default:
			p.options = append(p.options, option{name, value})
		}
	}
	return p, nil
}

// tar reads arguments as getopt does, and before that the old form: letters without a dash first, then their values in order.
func (t *table) tar(args []string) (*parsed, error) {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return t.getopt(args, false)
	}
	old := &parsed{}
	rest := args[1:]
	for _, c := range []byte(args[0]) {
		a, ok := t.Short[c]
		if !ok {
			return nil, fmt.Errorf("there is no option -%c", c)
		}
		o := option{name: string(c)}
		if a == needsValue {
			if len(rest) == 0 {
				return nil, fmt.Errorf("option -%c wants a value", c)
			}
			o.value, rest = rest[0], rest[1:]
		}
		old.options = append(old.options, o)
	}
	p, err := t.getopt(rest, false)
	if err != nil {
		return nil, err
	}
	p.options = append(old.options, p.options...)
	return p, nil
}

// iptables reads arguments word by word: which option takes a value depends on extensions, so every word that begins with a
// dash must be an option that iptables or one of its extensions knows. Free text is the exception.
func (t *table) iptables(args []string) (*parsed, error) {
	p := &parsed{}
	text := []string{"--comment", "--log-prefix", "--nflog-prefix", "--ulog-prefix", "--string", "--hex-string"}
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case slices.Contains(text, a):
			i++
		case strings.HasPrefix(a, "--"):
			name, _, _ := strings.Cut(a[2:], "=")
			full, ok := t.complete(name)
			if !ok {
				return nil, fmt.Errorf("there is no option --%s", name)
			}
			p.options = append(p.options, option{name: full})
		case len(a) > 1 && a[0] == '-':
			if _, ok := t.Short[a[1]]; !ok {
				return nil, fmt.Errorf("there is no option -%c", a[1])
			}
			p.options = append(p.options, option{name: a[1:2]})
		}
		if (a == "-m" || a == "--match") && i+1 < len(args) && !slices.Contains(t.Verbs, args[i+1]) {
			return nil, fmt.Errorf("there is no match %q", args[i+1])
		}
	}
	return p, nil
}

// openssl reads a command and its options, all of one dash. Digests and ciphers are options too (-sha256): those that are
// commands of their own are known.
func (t *table) openssl(args []string) (*parsed, error) {
	p := &parsed{}
	if len(args) == 0 {
		return p, nil
	}
	if !slices.Contains(t.Verbs, args[0]) {
		return nil, fmt.Errorf("there is no command %q", args[0])
	}
	known, checked := t.Options[args[0]]
	for i, a := range args[1:] {
		if !strings.HasPrefix(a, "-") || a == "-" {
			continue
		}
		name := strings.TrimPrefix(a[1:], "-")
		if checked && !slices.Contains(known, name) && !slices.Contains(t.Verbs, name) {
			return nil, fmt.Errorf("command %s has no option -%s", args[0], name)
		}
		o := option{name: name}
		if i+2 < len(args) {
			o.value = args[i+2]
		}
		p.options = append(p.options, o)
	}
	return p, nil
}
