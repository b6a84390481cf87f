# SPDX-License-Identifier: GPL-2.0-or-later
"""What NetworkManager does to a virtual address on an interface that it manages.

It takes off what is not in a connection's profile whenever it activates that anew: also when a
carrier comes back after five seconds. And where it finds nothing but a virtual address on an
interface, it takes that for a connection of its own and never brings the real one up, so that the
node's own address stays away. Two settings for the interface forbid both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from haagent.asking import output
from haagent.doctor import Line, ok, warning

WANTED = {"ignore-carrier": {"yes", "true", "1", "on"}, "keep-configuration": {"no", "false", "0"}}
"""Source: NetworkManager.conf(5), DEVICE SECTION; what NetworkManager 1.42 does with each."""
DROP_IN = "examples/networkmanager-keep-vip.conf"
CURE = f"copy {DROP_IN} to /etc/NetworkManager/conf.d with its name, then: nmcli general reload"
ADOPTED = "(externally)"
"""Source: nmcli(1): active, but not by a profile of NetworkManager's."""


def look(interface: str) -> Line | None:
    """Whether NetworkManager leaves a virtual address on this interface; None where it is not."""
    shown = output("nmcli", "--terse", "--fields", "DEVICE,STATE", "device", "status")
    if shown is None:
        return None
    states = dict(line.split(":", 1) for line in shown.splitlines() if ":" in line)
    printed = output("NetworkManager", "--print-config") or ""
    return judged(interface, states.get(interface, "unmanaged"), printed)


def judged(interface: str, state: str, printed: str) -> Line:
    """What is to be said of it.

    Args:
        interface: Gets a virtual address.
        state: Of the device, as nmcli says it.
        printed: NetworkManager's configuration, as it prints it.
    """
    what = f"NetworkManager on {interface}"
    if state == "unmanaged":
        return ok(what, "leaves it alone")
    if ADOPTED in state:
        text = "takes what it found there for a connection: no profile of its own is active"
        return warning(what, text, f"nmcli connection up PROFILE, if it has one; {CURE}")
    said = settings(interface, printed)
    missing = [name for name, values in WANTED.items() if said.get(name, "") not in values]
    if not missing:
        return ok(what, "leaves a virtual address there, but for nmcli up, reapply and modify")
    text = (
        f"manages it without {' and '.join(missing)}: when the carrier was gone for 5 s, the "
        "virtual address is taken off and the node's own may not come back"
    )
    return warning(what, text, CURE)


@dataclass(slots=True)
class _Section:
    """One section of the configuration."""

    name: str
    values: dict[str, str] = field(default_factory=dict)


def settings(interface: str, printed: str) -> Mapping[str, str]:
    """What the sections for devices say of one interface; the first that says it counts."""
    found: dict[str, str] = {}
    for section in _sections(printed):
        if section.name.startswith("device") and _matches(interface, section.values):
            for key, value in section.values.items():
                found.setdefault(key, value.lower())
            if found.get("stop-match") in {"yes", "true", "1"}:
                break
    return found


def _sections(printed: str) -> Iterator[_Section]:
    section = None
    for line in map(str.strip, printed.splitlines()):
        if line.startswith("["):
            if section is not None:
                yield section
            section = _Section(line.strip("[]"))
        elif section is not None and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.values[key.strip()] = value.strip()
    if section is not None:
        yield section


def _matches(interface: str, values: Mapping[str, str]) -> bool:
    """Whether a section is for it. One that goes by anything but the name is taken not to be.

    Source: NetworkManager.conf(5), Device List Format.
    """
    if "match-device" not in values:
        return True
    specs = [spec.strip() for spec in values["match-device"].replace(";", ",").split(",")]
    denied = [spec.removeprefix("except:") for spec in specs if spec.startswith("except:")]
    wanted = [spec for spec in specs if spec and not spec.startswith("except:")]
    if any(_is_named(interface, spec) for spec in denied):
        return False
    return not wanted or any(_is_named(interface, spec) for spec in wanted)


def _is_named(interface: str, spec: str) -> bool:
    name = spec.removeprefix("interface-name:")
    if name.startswith("="):
        return interface == name[1:]
    if spec == "*" or name != spec:
        return fnmatchcase(interface, name.removeprefix("~"))
    return interface == spec
