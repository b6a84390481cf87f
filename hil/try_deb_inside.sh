#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: try_deb_inside.sh ARCHITECTURE native|foreign
# Tries /install/haagent.deb in the Debian that is the root: ends with 0 if all of it works.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8

say() { printf '%s\n' "-- $*"; }

say "install"
dpkg --install /install/haagent.deb
dpkg --verify haagent
haagent --version
python=/opt/haagent/bin/python3
$python --version
test "$(dpkg --print-architecture)" = "$1"

say "every library loads, without a warning"
$python -I -W error - <<'END'
import importlib
for name in ("scapy.all", "pyghmi.ipmi.command", "sushy", "serial", "dbus_fast", "psycopg.pq",
             "textual.app", "pydantic", "structlog", "prometheus_client", "h11", "pyroute2"):
    importlib.import_module(name)
import psycopg.pq
assert psycopg.pq.__impl__ == "binary", psycopg.pq.__impl__
END

say "configuration"
cd /etc/haagent
umask 077
haagent keygen key.1
cp /usr/share/doc/haagent/examples/haagent.toml .
for name in alpha-bmc beta-bmc; do echo secret >"$name.password"; done
haagent check-config --file-only haagent.toml

say "pages and completion"
man haagent-status | grep -q "would work right now"
bash -c '. /usr/share/bash-completion/completions/haagent; complete -p haagent'
fence_haagent -o metadata | grep -q "<resource-agent"
haagent tidy

say "units and rules, as this systemd and udev judge them"
systemd-analyze verify /usr/lib/systemd/system/haagent*.service
udevadm verify /usr/lib/udev/rules.d/70-haagent.rules 2>/dev/null ||
    ! udevadm verify --help >/dev/null 2>&1  # before systemd 254 it cannot

say "fence test: nobody is there, which is said of each device"
code=0
haagent fence test --config haagent.toml || code=$?
test "$code" != 0 -a "$code" -lt 64

# Network namespaces are nothing that QEMU's user mode knows.
if [ "$2" = native ]; then
    say "a pair fails over, fenced through simulated BMCs"
    cd /bench
    $python -B -m hil.demo freeze
fi

say "removal and purge"
cd /
dpkg --remove haagent
for left in /opt/haagent /usr/bin/haagent; do test ! -e "$left"; done
test -e /etc/haagent/key.1
dpkg --purge haagent
for left in /etc/haagent /var/lib/haagent; do test ! -e "$left"; done
say "all of it works"
