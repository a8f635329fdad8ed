Requires: container-selinux >= 2:2.74, libseccomp
Provides: containerd, runc
Conflicts: containerd, runc
Obsoletes: containerd, runc
%description
Debian's containerd and runc.
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/lib/systemd/system %{buildroot}/etc/containerd
for p in containerd ctr containerd-shim containerd-shim-runc-v1 containerd-shim-runc-v2; do install -m 755 %{debian}/usr/bin/$p %{buildroot}/usr/bin/; done
install -m 755 %{debian}/usr/sbin/runc %{buildroot}/usr/bin/runc
echo 'disabled_plugins = ["cri"]' >%{buildroot}/etc/containerd/config.toml
cat >%{buildroot}/usr/lib/systemd/system/containerd.service <<'UNIT'
[Unit]
Description=containerd container runtime
Documentation=https://containerd.io
After=network.target local-fs.target

[Service]
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
LimitNPROC=infinity
LimitCORE=infinity
LimitNOFILE=infinity
TasksMax=infinity

[Install]
WantedBy=multi-user.target
UNIT
%post
systemctl preset containerd.service >/dev/null 2>&1 || :
%preun
if [ $1 -eq 0 ]; then systemctl --no-reload disable containerd.service >/dev/null 2>&1; systemctl stop containerd.service >/dev/null 2>&1; fi
:
%postun
systemctl daemon-reload >/dev/null 2>&1 || :
%files
/usr/bin/*
/usr/lib/systemd/system/containerd.service
%config(noreplace) /etc/containerd/config.toml
