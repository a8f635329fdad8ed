package main

import (
	"fmt"
	"slices"
	"strings"
)

// parsed are a call's options and operands.
type parsed struct {
	options  []option
	operands []string
}

// option is one option as the tool's table names it: the long name where there is one, else the letter.
type option struct {
	name  string
	value string
}

func (p *parsed) has(names ...string) bool {
	return slices.ContainsFunc(p.options, func(o option) bool { return slices.Contains(names, o.name) })
}

// parse reads arguments the way the tool does.
func (t *table) parse(args []string) (*parsed, error) {
	switch t.Style {
	case "getopt":
		return t.getopt(args, false)
	case "getopt+": // stops at the first operand
		return t.getopt(args, true)
	case "popt":
		return t.popt(args)
	case "curl":
		return t.curl(args)
	case "ip":
		return t.ip(args)
	case "dd":
		return t.dd(args)
	case "tar":
		return t.tar(args)
	case "iptables":
		return t.iptables(args)
	case "openssl":
		return t.openssl(args)
	}
	return nil, fmt.Errorf("table %s has the unknown style %q", t.Name, t.Style)
}

// getopt reads arguments as GNU getopt_long does: options anywhere unless the first operand ends them, long ones may be
// shortened as long as they stay unique among those that this version knows.
func (t *table) getopt(args []string, first bool) (*parsed, error) {
	p := &parsed{}
	for i := 0; i < len(args); i++ {
		a := args[i]
		var used int
		var err error
		switch {
		case a == "--":
			p.operands = append(p.operands, args[i+1:]...)
			return p, nil
		case strings.HasPrefix(a, "--"):
			used, err = t.long(p, a[2:], args[i+1:], true)
		case len(a) > 1 && a[0] == '-':
			used, err = t.cluster(p, a[1:], args[i+1:])
		case first:
			p.operands = append(p.operands, args[i:]...)
			return p, nil
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

// long takes one long option, "name" or "name=value", and says how many of the following arguments were its value.
func (t *table) long(p *parsed, word string, next []string, equals bool) (int, error) {
	name, value, hasValue := word, "", false
	if equals {
		name, value, hasValue = strings.Cut(word, "=")
	}
	full, ok := t.complete(name)
	if !ok {
		return 0, fmt.Errorf("there is no option --%s", name)
	}
	switch a := t.Long[full]; {
	case hasValue && a == noValue:
		return 0, fmt.Errorf("option --%s takes no value", full)
	case !hasValue && a == needsValue:
		if len(next) == 0 {
			return 0, fmt.Errorf("option --%s wants a value", full)
		}
		p.options = append(p.options, option{full, next[0]})
		return 1, nil
	}
	p.options = append(p.options, option{full, value})
	return 0, nil
}

// complete finds the long option that name is the beginning of.
func (t *table) complete(name string) (string, bool) {
	if _, ok := t.Long[name]; ok {
		return name, true
	}
	found := ""
	for _, n := range t.Order {
		if strings.HasPrefix(n, name) {
			if found != "" {
				return "", false
			}
			found = n
		}
	}
	return found, found != ""
}

// cluster takes short options that stand together, and says how many of the following arguments were the last one's value.
func (t *table) cluster(p *parsed, letters string, next []string) (int, error) {
	for i := 0; i < len(letters); i++ {
		c := letters[i]
		a, ok := t.Short[c]
		if !ok {
			return 0, fmt.Errorf("there is no option -%c", c)
		}
		name := string(c)
		if long, ok := t.Alias[c]; ok {
			name = long
		}
		rest := letters[i+1:]
		switch {
		case a == noValue:
			p.options = append(p.options, option{name, ""})
		case rest != "" || a == mayHaveValue:
			p.options = append(p.options, option{name, rest})
			return 0, nil
		case len(next) == 0:
			return 0, fmt.Errorf("option -%c wants a value", c)
		default:
			p.options = append(p.options, option{name, next[0]})
			return 1, nil
		}
	}
	return 0, nil
}

// checkValues holds verbs, values and operands against the table.
func (t *table) checkValues(p *parsed) error {
	for _, o := range p.options {
		if slices.Contains(t.Plain, o.name) && strings.ContainsAny(o.value, " \t") {
			return fmt.Errorf("the value of %s may have no arguments: %q", o.name, o.value)
		}
		v, ok := t.Lists[o.name]
		if !ok || o.value == "" {
			continue
		}
		words := []string{o.value}
		if v.list {
			words = strings.Split(strings.TrimPrefix(o.value, "+"), ",")
		}
		for _, w := range words {
			known := slices.ContainsFunc(v.known, func(k string) bool { return strings.EqualFold(k, w) })
			if known == v.refused {
				return fmt.Errorf("option %s has no value %q", o.name, w)
			}
		}
	}
	if t.Operands == "none" && len(p.operands) > 0 {
		return fmt.Errorf("it takes no operand, and %q is one", p.operands[0])
	}
	verbs := len(t.Verbs) > 0 && strings.HasPrefix(t.Style, "getopt")
	if verbs && len(p.operands) > 0 && !slices.Contains(t.Verbs, p.operands[0]) {
		return fmt.Errorf("there is no verb %q", p.operands[0])
	}
	return nil
}
