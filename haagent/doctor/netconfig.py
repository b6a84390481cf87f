# SPDX-License-Identifier: GPL-2.0-or-later
"""Who else configures the interfaces of virtual addresses, and whether he leaves these alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from haagent.doctor import Line, Subject, network_manager, ok, warning

TRUE = {"yes", "y", "true", "t", "1", "on"}
FALSE = {"no", "n", "false", "f", "0", "off"}
"""In either case. Source: systemd.syntax(7)."""
FOREIGN = ("ManageForeignRoutes", "ManageForeignRoutingPolicyRules")
"""Source: networkd.conf(5)."""
FOLDERS = ("etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd", "lib/systemd")


@dataclass(frozen=True, slots=True)
class Root:
    """Where the system's files are; another one is for tests."""

    path: Path = Path("/")


def look(subject: Subject, root: Root | None = None) -> Iterator[Line]:
    """Each interface that gets a virtual address."""
    root = root or Root()
    names = {vip.interface for vips in subject.configuration.vips.values() for vip in vips}
    found = False
    for name in sorted(names):
        for line in (
            _networkd(name, root),
            network_manager.look(name),
            _ifupdown(subject, name, root),
        ):
            if line is not None:
                found = True
                yield line
    if (root.path / "run/systemd/netif/state").exists():
        yield _foreign(root)
    elif not found and names:
        yield ok("network managers", "none has the interfaces of the virtual addresses")


def _networkd(interface: str, root: Root) -> Line | None:
    """What systemd-networkd would do to a foreign address when it starts again."""
    what = f"networkd on {interface}"
    index = _read(Path("/sys/class/net") / interface / "ifindex")
    if not index:
        return None
    state = dict(_pairs(_read(root.path / "run/systemd/netif/links" / index)))
    file = state.get("NETWORK_FILE")
    if state.get("ADMIN_STATE") == "unmanaged" or not file:
        return None
    where = Path(file)
    told = [_read(root.path / file.lstrip("/")), *_dropins(root, f"network/{where.name}.d")]
    value = settings(told, "Network").get("KeepConfiguration", "")
    # Only these leave what networkd did not add, and the word in small letters alone. Source:
    # systemd.network(5), KeepConfiguration=; what networkd 252 does with each.
    if value == "static" or value.lower() in TRUE:
        return ok(what, f"{where.name} keeps addresses that networkd did not add")
    text = f"{where.name} does not say KeepConfiguration=static: a restart takes the address away"
    remedy = (
        "copy examples/networkd-keep-vip.conf to "
        f"/etc/systemd/network/{where.name}.d/50-haagent.conf, then: networkctl reload"
    )
    return warning(what, text, remedy)


def _foreign(root: Root) -> Line:
    what = "networkd"
    told = [_read(root.path / "etc/systemd/networkd.conf"), *_dropins(root, "networkd.conf.d")]
    said = settings(told, "Network")
    missing = [name for name in FOREIGN if said.get(name, "yes").lower() not in FALSE]
    if not missing:
        return ok(what, "leaves routes and rules alone that it did not make")
    text = f"{' and '.join(missing)} are on: a restart removes what others have added"
    return warning(
        what, text, "haagent install (or the package) lays networkd.conf.d/50-haagent.conf"
    )


def _ifupdown(subject: Subject, interface: str, root: Root) -> Line | None:
    """A virtual address that stands in a file of the system's is there after every boot."""
    folder = root.path / "etc/network"
    files = [folder / "interfaces", *sorted((folder / "interfaces.d").glob("*"))]
    text = "\n".join(map(_read, files))
    for vips in subject.configuration.vips.values():
        for vip in vips:
            address = str(vip.address.ip)
            words = {word.partition("/")[0] for line in _lines(text) for word in line.split()}
            if vip.interface == interface and address in words:
                said = (
                    f"{address} stands in /etc/network/interfaces: after a boot both nodes have it"
                )
                return warning(f"ifupdown on {interface}", said, "remove it there")
    return None


def settings(files: Iterable[str], section: str) -> Mapping[str, str]:
    """What files of systemd's form say in one section together; later ones have the last word."""
    found: dict[str, str] = {}
    for text in files:
        inside = False
        for line in _lines(text):
            if line.startswith("["):
                inside = line == f"[{section}]"
            elif inside and "=" in line:
                key, _, value = line.partition("=")
                found[key.strip()] = value.strip()
    return found


def _dropins(root: Root, folder: str) -> list[str]:
    """Texts of the drop-ins in the order of their names; of one name, the first folder's counts."""
    chosen: dict[str, Path] = {}
    for place in FOLDERS:
        for path in (root.path / place / folder).glob("*.conf"):
            chosen.setdefault(path.name, path)
    return [_read(chosen[name]) for name in sorted(chosen)]


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            yield stripped


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in _lines(text):
        key, equals, value = line.partition("=")
        if equals:
            yield key, value


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
