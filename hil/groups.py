# SPDX-License-Identifier: GPL-2.0-or-later
"""Pairs that carry more than an address: options for a lab, as an operator would write them."""

from __future__ import annotations

from hil.network import VIP
from hil.pair import Options
from hil.services import HTTP_PORT

OTHER_VIP = "192.0.2.20"
AGENT_VIP = "192.0.2.21"
"""Held by ocf:heartbeat:IPaddr2."""
POSITION_BEHIND_MAX = 100
FAILBACK_S = 2.0
MOVES_MAX = 3

_OFTEN: dict[str, str | int] = {"max_fences": 100, "fence_retry": "1s"}
"""As many failovers as there are tests; the bound (S10) has its own test."""

_NGINX = f"""
[group.probe]
http = "http://{VIP}:{HTTP_PORT}/"
body = "served by"
timeout = "1s"
interval = "1s"
[[group.resource]]
kind = "command"
name = "nginx"
start = ["SERVICE", "nginx", "start"]
stop = ["SERVICE", "nginx", "stop"]
monitor = ["SERVICE", "nginx", "monitor"]
position = ["SERVICE", "nginx", "position"]
start_timeout = "2s"
stop_timeout = "2s"
monitor_timeout = "1s"
interval = "1s"
[[group.vip]]
address = "{VIP}/24"
"""

_LIMITS = """\
stop_timeout = "5s"
monitor_timeout = "5s"
"""
"""Of OCF agents: what they advise adds up to many minutes of `stop_budget`."""

WEB = Options(
    timing={**_OFTEN, "stop_budget": "6s", "serving_grace": "3s"},
    check_every="1s",
    network="""
reference_interval = "200ms"
reference_failures = 3
carrier_hold = "200ms"
""",
    tables=f"""
[hooks]
on_active = ["SERVICE", "hook", "on_active"]
on_standby = ["SERVICE", "hook", "on_standby"]
on_fence = ["SERVICE", "hook", "on_fence"]
on_alarm = ["SERVICE", "hook", "on_alarm"]
timeout = "2s"

[[group]]
name = "web"
preferred = "alpha"
max_lag = {POSITION_BEHIND_MAX}
max_moves = 100
failures = 2
restarts = 1
{_NGINX}""",
)
"""One group with a real nginx behind commands, probed as a client sees it."""

BOTH = Options(
    timing={**_OFTEN, "stop_budget": "3m"},
    check_every="1s",
    tables=f"""
[[group]]
name = "web"
preferred = "alpha"
failures = 1
[[group.resource]]
kind = "ocf"
name = "nginx"
{_LIMITS}agent = "ocf:heartbeat:nginx"
parameters = {{ configfile = "/run/disk/nginx.conf", options = "-e /run/disk/nginx.log" }}
interval = "1s"
[[group.vip]]
address = "{VIP}/24"

[[group]]
name = "data"
preferred = "beta"
failback = "{FAILBACK_S:g}s"
max_moves = 100
failures = 1
restarts = 1
[[group.resource]]
kind = "ocf"
name = "state"
{_LIMITS}agent = "ocf:pacemaker:Stateful"
promotable = true
demote_timeout = "5s"
notify_timeout = "5s"
[[group.resource]]
kind = "ocf"
name = "disk"
{_LIMITS}agent = "ocf:heartbeat:Filesystem"
parameters = {{ device = "/run/disk/data.img", directory = "/run/data", fstype = "ext4", \
options = "loop" }}
check_level = 20
interval = "1s"
[[group.resource]]
kind = "ocf"
name = "note"
{_LIMITS}agent = "ocf:heartbeat:Dummy"
[[group.resource]]
kind = "ocf"
name = "address"
{_LIMITS}agent = "ocf:heartbeat:IPaddr2"
parameters = {{ ip = "{AGENT_VIP}", cidr_netmask = "24", nic = "eth0" }}
[[group.vip]]
address = "{OTHER_VIP}/24"

[[group]]
name = "other"
preferred = "alpha"
max_moves = {MOVES_MAX}
failures = 1
restarts = 0
[[group.resource]]
kind = "command"
name = "other"
start = ["SERVICE", "other", "start"]
stop = ["SERVICE", "other", "stop"]
monitor = ["SERVICE", "other", "monitor"]
interval = "1s"
""",
)
"""An active-active pair: nginx here, a file system and what is on it there, both by OCF agents."""
