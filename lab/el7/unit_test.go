package main

import (
	"strings"
	"testing"
)

// body makes a whole service of one line.
func body(line string) string {
	if strings.HasPrefix(line, "[") {
		return "[Service]\nExecStart=/bin/true\n" + line
	}
	return "[Service]\nExecStart=/bin/true\n" + line + "\n"
}

func checkUnit(t *testing.T, path, text string) []string {
	t.Helper()
	r, err := loadUnitRules()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, err := range r.check(path, text) {
		all = append(all, err.Error())
	}
	return all
}

func TestUnitLinesNewerThanSystemd219AreRefused(t *testing.T) {
	for line, want := range map[string]string{
		"[Unit]\nStartLimitIntervalSec=0":             "x.service:4: systemd 219 has no StartLimitIntervalSec= in [Unit]",
		"[Unit]\nStartLimitBurst=3":                   "x.service:4: systemd 219 has no StartLimitBurst= in [Unit]",
		"[Unit]\nSuccessAction=none":                  "x.service:4: systemd 219 has no SuccessAction= in [Unit]",
		"[Unit]\nConditionKernelVersion=>4":           "x.service:4: systemd 219 has no ConditionKernelVersion= in [Unit]",
		"[Install]\nUpheldBy=x":                       "x.service:4: systemd 219 has no UpheldBy= in [Install]",
		"[Timer]\nOnBootSec=1":                        "x.service:3: systemd 219 has no section [Timer] in such a unit",
		"[Frob]":                                      "x.service:3: systemd 219 has no section [Frob] in such a unit",
		"MemoryMax=1G":                                "x.service:3: systemd 219 has no MemoryMax= in [Service]",
		"CPUWeight=1":                                 "x.service:3: systemd 219 has no CPUWeight= in [Service]",
		"ReadWritePaths=/x":                           "x.service:3: systemd 219 has no ReadWritePaths= in [Service]",
		"DynamicUser=yes":                             "x.service:3: systemd 219 has no DynamicUser= in [Service]",
		"ProtectKernelTunables=yes":                   "x.service:3: systemd 219 has no ProtectKernelTunables= in [Service]",
		"StateDirectory=x":                            "x.service:3: systemd 219 has no StateDirectory= in [Service]",
		"LogsDirectory=x":                             "x.service:3: systemd 219 has no LogsDirectory= in [Service]",
		"RuntimeMaxSec=1":                             "x.service:3: systemd 219 has no RuntimeMaxSec= in [Service]",
		"OOMPolicy=continue":                          "x.service:3: systemd 219 has no OOMPolicy= in [Service]",
		"ExecCondition=/bin/true":                     "x.service:3: systemd 219 has no ExecCondition= in [Service]",
		"LoadCredential=x":                            "x.service:3: systemd 219 has no LoadCredential= in [Service]",
		"RestartSteps=1":                              "x.service:3: systemd 219 has no RestartSteps= in [Service]",
		"Type=exec":                                   `x.service:3: systemd 219 knows no value "exec" of Type=`,
		"Type=notify-reload":                          `x.service:3: systemd 219 knows no value "notify-reload" of Type=`,
		"ProtectSystem=strict":                        `x.service:3: systemd 219 knows no value "strict" of ProtectSystem=`,
		"ProtectHome=tmpfs":                           `x.service:3: systemd 219 knows no value "tmpfs" of ProtectHome=`,
		"Delegate=cpu memory":                         `x.service:3: systemd 219 knows no value "cpu memory" of Delegate=`,
		"StandardOutput=file:/x":                      `x.service:3: systemd 219 knows no value "file:/x" of StandardOutput=`,
		"StandardError=append:/x":                     `x.service:3: systemd 219 knows no value "append:/x" of StandardError=`,
		"StandardOutput=truncate:/x":                  `x.service:3: systemd 219 knows no value "truncate:/x" of StandardOutput=`,
		"StandardInput=fd:x":                          `x.service:3: systemd 219 knows no value "fd:x" of StandardInput=`,
		"ExecStartPre=+/bin/true":                     `x.service:3: the first word of ExecStartPre= is "+/bin/true": systemd 219 wants an absolute path, with no prefix but - and @`,
		"ExecStartPre=!/bin/true":                     `x.service:3: the first word of ExecStartPre= is "!/bin/true": systemd 219 wants an absolute path, with no prefix but - and @`,
		"ExecStop=:/bin/true":                         `x.service:3: the first word of ExecStop= is ":/bin/true": systemd 219 wants an absolute path, with no prefix but - and @`,
		"ExecStop=true":                               `x.service:3: the first word of ExecStop= is "true": systemd 219 wants an absolute path, with no prefix but - and @`,
		"Environment=A=%E":                            "x.service:3: systemd 219 knows no specifier %E (in Environment=)",
		"Environment=A=%S/x":                          "x.service:3: systemd 219 knows no specifier %S (in Environment=)",
		"Environment=A=%j":                            "x.service:3: systemd 219 knows no specifier %j (in Environment=)",
		"Type=oneshot\nRestart=on-failure":            "x.service:4: systemd 219 refuses a oneshot service with Restart=on-failure",
		"Type=oneshot\nRestartForceExitStatus=1":      "x.service:4: systemd 219 refuses a oneshot service with RestartForceExitStatus=",
		"ExecStart=/bin/false":                        "x.service:3: systemd 219 allows several ExecStart= in a oneshot service only",
		"ExecStart=\nRestart=no":                      "x.service:1: systemd 219 refuses a service without ExecStart= unless it has ExecStop= and RemainAfterExit=yes",
		"frob":                                        `x.service:3: "frob" is no assignment in a section`,
		"User=x\nEnvironment=A \\\n  B\nMemoryHigh=1": "x.service:6: systemd 219 has no MemoryHigh= in [Service]",
	} {
		got := checkUnit(t, "x.service", body(line))
		if len(got) != 1 || got[0] != want {
			t.Errorf("%q: said %q, want %q", line, got, want)
		}
	}
}

func TestUnitLinesOfSystemd219ArePassed(t *testing.T) {
	for path, text := range map[string]string{
		"etcd.service": `[Unit]
Description=Etcd Server
After=network.target network-online.target
Wants=network-online.target

[Service]
Type=notify
EnvironmentFile=/opt/etcd/cfg/etcd.conf
ExecStartPre=-/bin/mkdir -p /x
ExecStart=/opt/etcd/bin/etcd \
  --cert-file=/opt/etcd/ssl/server.pem
# a comment
ExecReload=/bin/kill -s HUP $MAINPID
Restart=on-failure
RestartSec=5
StartLimitInterval=0
StartLimitBurst=3
LimitNOFILE=65536
LimitNPROC=1024:2048
TasksMax=infinity
Delegate=yes
KillMode=process
TimeoutStopSec=infinity
AmbientCapabilities=CAP_NET_BIND_SERVICE
ProtectSystem=full
StandardOutput=journal+console

[Install]
WantedBy=multi-user.target

[X-Ours]
Frob=1
`,
		"x.timer":                  "[Unit]\nDescription=%n\n[Timer]\nOnBootSec=1min\nOnCalendar=*:0/5\nRandomizedDelaySec=5\nAccuracySec=1\n[Install]\nWantedBy=timers.target\n",
		"x.path":                   "[Path]\nPathExists=/x\nMakeDirectory=yes\n",
		"x.target":                 "[Unit]\nCollectMode=inactive\nAllowIsolate=yes\n",
		"x@.service":               "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=@/bin/sh sh -c 'echo 100%% %i'\nExecStart=/bin/true\n",
		"stop.service":             "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStop=/bin/true\n",
		"/e/x.service.d/more.conf": "[Service]\nX-Note=1\nExecStart=\nExecStart=/bin/true\n",
	} {
		if got := checkUnit(t, path, text); len(got) != 0 {
			t.Errorf("%s: said %q", path, got)
		}
	}
}

func TestDropInsAreReadAsTheirUnit(t *testing.T) {
	got := checkUnit(t, "/etc/systemd/system/docker.service.d/x.conf", "[Service]\nMemoryMax=1\n")
	want := "/etc/systemd/system/docker.service.d/x.conf:2: systemd 219 has no MemoryMax= in [Service]"
	if len(got) != 1 || got[0] != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

func FuzzUnitFilesAreReadWithoutAPanic(f *testing.F) {
	f.Add("[Service]\nExecStart=/bin/true\nExecStart=\n")
	f.Add("[Service]\nEnvironment=%\\\n%")
	f.Add("=\n[\n]\\")
	r, err := loadUnitRules()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, text string) { r.check("x.service", text) })
}
