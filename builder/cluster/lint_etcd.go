package cluster

import (
	"slices"
	"strconv"
	"strings"
)

// notForData are the directories in which nothing may lie that has to last.
func notForData() []string {
	return []string{"/opt/etcd/", "/opt/kubernetes/", "/etc/", "/usr/", "/boot/", "/dev/", "/proc/", "/sys/", "/run/", "/tmp/", "/var/tmp/",
		"/var/run/", "/var/lib/offgrid/", "/var/lib/docker/", "/var/lib/kubelet/"}
}

// dataDir checks a directory for data; it must be so many levels deep.
func (l *linter) dataDir(path []any, dir string, levels int, words, example string) bool {
	if !isCleanPath(dir) || strings.Count(dir, "/") < levels || dir == "/" {
		l.Wrong(path, "%q is not usable: an absolute path at least %s levels deep, of letters, digits and . _ - /, for example %s", dir, words, example)
		return false
	}
	for _, top := range notForData() {
		if strings.HasPrefix(dir+"/", top) {
			l.Wrong(path, "%q lies in %s, which is not for data", dir, strings.TrimSuffix(top, "/"))
			return false
		}
	}
	return true
}

func (l *linter) etcd() {
	l.dataDir(at("etcd", "dataDir"), l.file.Etcd.DataDir, 3, "three", "/var/lib/etcd/default.etcd")
}

func (l *linter) snapshots() {
	s, data := l.file.Etcd.Snapshots, l.file.Etcd.DataDir
	path := at("etcd", "snapshots", "dir")
	if l.dataDir(path, s.Dir, 2, "two", "/data/backup") {
		switch {
		case strings.HasPrefix(s.Dir+"/", data+"/") || strings.HasPrefix(data+"/", s.Dir+"/"):
			l.Wrong(path, "%q and the database's own directory %q must not lie in each other", s.Dir, data)
		case strings.HasPrefix(s.Dir+"/", "/var/lib/etcd/"):
			l.Warn(path, "%q is beside the database: when that disk is lost, its snapshots are too", s.Dir)
		}
	}
	if !isCalendar(s.Every) {
		l.Wrong(at("etcd", "snapshots", "every"), "%q is not a time that systemd 219 understands; for example hourly, daily, weekly, 02:30, *-*-* 00/6:00:00 or Sun 03:00", s.Every)
	}
	l.between(at("etcd", "snapshots", "keep"), s.Keep, 1, 1000)
}

// isCalendar reports whether s is an OnCalendar value of systemd 219, as far as a site needs them: a word, or weekdays, a
// date and a time. 219 knows no ".." ranges of numbers, no time zones but UTC and no "~".
func isCalendar(s string) bool {
	if slices.Contains([]string{"hourly", "daily", "weekly", "monthly"}, s) {
		return true
	}
	fields := strings.Fields(s)
	if strings.Join(fields, " ") != s || len(fields) == 0 {
		return false
	}
	if isWeekdays(fields[0]) {
		fields = fields[1:]
	}
	if len(fields) > 0 && strings.Count(fields[0], "-") > 0 && !strings.Contains(fields[0], ":") {
		if !isFields(fields[0], "-", [][2]int{{1970, 2199}, {1, 12}, {1, 31}}) {
			return false
		}
		fields = fields[1:]
	}
	return len(fields) == 1 && isFields(fields[0], ":", [][2]int{{0, 23}, {0, 59}, {0, 59}})
}

func isWeekdays(s string) bool {
	for part := range strings.SplitSeq(s, ",") {
		for day := range strings.SplitSeq(part, "-") {
			if !slices.Contains([]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}, day) {
				return false
			}
		}
		if strings.Count(part, "-") > 1 {
			return false
		}
	}
	return true
}

// isFields checks numbers between separators: "*", "5", "5,17", "0/6". The last of a time, and the first of a date, may be
// left out.
func isFields(s, separator string, limits [][2]int) bool {
	parts := strings.Split(s, separator)
	switch {
	case len(parts) == len(limits)-1 && separator == ":":
		limits = limits[:2]
	case len(parts) == len(limits)-1:
		limits = limits[1:]
	case len(parts) != len(limits):
		return false
	}
	for i, part := range parts {
		for value := range strings.SplitSeq(part, ",") {
			from, step, repeated := strings.Cut(value, "/")
			if n, err := strconv.Atoi(step); repeated && (err != nil || n < 1 || n > limits[i][1]) {
				return false
			}
			if from == "*" && !repeated {
				continue
			}
			if n, err := strconv.Atoi(from); err != nil || n < limits[i][0] || n > limits[i][1] || strings.HasPrefix(from, "+") {
				return false
			}
		}
	}
	return true
}
