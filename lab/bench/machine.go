package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// printMachine says what was measured where and when.
func printMachine() error {
	cpu, err := field("/proc/cpuinfo", "model name")
	if err != nil {
		return err
	}
	memory, err := field("/proc/meminfo", "MemTotal")
	if err != nil {
		return err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	fmt.Printf("%s, %d processors (%s), %s, Linux %s, %s\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), cpu, memory, strings.TrimSpace(string(kernel)), runtime.Version())
	return printLoad("at the start")
}

func printLoad(when string) error {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	fmt.Printf("Load %s: %s\n", when, strings.Join(strings.Fields(string(load))[:3], " "))
	return nil
}

// field reads a "name : value" line.
func field(file, name string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "unknown", nil
}
