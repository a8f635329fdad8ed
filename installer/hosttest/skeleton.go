package hosttest

// state is where the fakes keep what no file of a real host shows.
const state = "/run/hosttest/"

// skeleton is the files of a new host.
func skeleton() map[string]string {
	return map[string]string{
		"/boot/": "", "/root/": "", "/tmp/": "", "/opt/": "", "/run/": "", "/var/log/": "", "/var/lib/": "", "/usr/bin/": "", "/usr/local/bin/": "",
		"/etc/sysctl.d/": "", "/etc/modules-load.d/": "",
		"/etc/systemd/system/multi-user.target.wants/": "",
		"/usr/lib/systemd/system/":                     "",
		"/var/lib/rpm/hosttest/":                       "",
		"/sys/module/":                                 "",
		state + "active/":                              "",
		state + "iptables/":                            "",
		state + "kube/":                                "",
		dockerImages:                                   "",
		state + "selinux":                              "Enforcing\n",
		"/etc/passwd":                                  "root:x:0:0:root:/root:/bin/bash\n",
		"/etc/group":                                   "root:x:0:\n",
		"/etc/hosts":                                   "127.0.0.1   localhost localhost.localdomain\n::1         localhost localhost.localdomain\n",
		"/etc/hostname":                                "localhost.localdomain\n",
		"/etc/redhat-release":                          "CentOS Linux release 7.9.2009 (Core)\n",
		"/etc/selinux/config":                          "# SELINUX= can take one of these three values:\n#     enforcing, permissive, disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
		"/etc/fstab":                                   "/dev/mapper/centos-root /     xfs  defaults 0 0\n/dev/mapper/centos-swap swap  swap defaults 0 0\n",
		"/proc/swaps":                                  "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n/dev/dm-1                               partition\t2097148\t0\t-2\n",
		"/proc/filesystems":                            "nodev\tsysfs\nnodev\tproc\n\txfs\n",
		"/proc/self/mounts":                            "/dev/mapper/centos-root / xfs rw 0 0\n",
		"/proc/sys/kernel/hostname":                    "localhost.localdomain\n",
		"/proc/sys/kernel/osrelease":                   "3.10.0-1160.el7.x86_64\n",
		"/proc/sys/net/ipv4/ip_forward":                "0\n",
		"/proc/sys/vm/swappiness":                      "30\n",
		"/proc/sys/net/ipv6/conf/all/disable_ipv6":     "0\n",
		"/proc/sys/net/ipv6/conf/default/disable_ipv6": "0\n",
		"/usr/lib/systemd/system/firewalld.service":    "[Service]\nExecStart=/usr/sbin/firewalld\n[Install]\nWantedBy=multi-user.target\n",
	}
}
