# SPDX-License-Identifier: GPL-2.0-or-later
"""Fencing from a console, with no daemon: `python -m fencing off beta --config FILE`.

The same as `haagent fence`, less what needs a daemon; docs/fencing-console.md has both. A device
may also be given by options, with no file at all.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from fencing.console import exits
from fencing.console.command import carry_out
from fencing.console.daemon import NoDaemon
from fencing.console.exits import Exit, RefusedError
from fencing.console.order import Order, Verb, deadline_s
from fencing.console.output import Output
from fencing.console.single import Single
from fencing.console.site import Site, read_site
from fencing.drivers import DRIVERS

CONTROL_SOCKET = Path("/run/haagent/control.sock")
"""Where haagent's daemon has it (docs/configuration.md); who fences takes turns beside it."""

SINGLE_KEYS = ("address", "user", "password_file", "kg_file", "off_settle", "identity")
"""Keys of a [[fence]] that are options here."""


def main(arguments: list[str] | None = None) -> int:
    """Carry out one console command; returns the exit code."""
    # Intermixed, or a target that follows an option would be taken for one too many.
    options = _parser().parse_intermixed_args(arguments)
    try:
        order = _order(options)
    except RefusedError as refused:
        sys.stderr.write(f"fencing: {refused}\n")
        return refused.code
    return carry_out(order, lambda: _site(options), NoDaemon(), Output.standard())


def _order(options: argparse.Namespace) -> Order:
    return Order(
        verb=Verb(options.command),
        target=options.target,
        devices=tuple(options.device),
        level=options.level,
        deadline_s=deadline_s(options.deadline),
        dry_run=options.dry_run,
        yes=options.yes,
        as_json=options.json,
        this_node=options.this_node,
    )


def _site(options: argparse.Namespace) -> Site:
    single = {key: getattr(options, key) for key in SINGLE_KEYS}
    if options.config is not None:
        if options.driver or options.option or any(single.values()):
            text = "--config, or --driver and what belongs to it: the device comes from one place"
            raise RefusedError(Exit.USAGE, text)
        socket = options.socket if options.socket.parent.is_dir() else None
        return read_site(options.config, options.node, socket)
    if options.driver is None:
        text = "which device? --config FILE, or --driver with its address and account"
        raise RefusedError(Exit.USAGE, text)
    return Single(options.driver, single, options.option).site()


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints end with our own code for wrong usage."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fencing",
        description="Read or switch the power of a machine through its fence devices.",
        epilog=exits.table(),
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("command", choices=[verb.value for verb in Verb])
    add("target", nargs="?", help='a node, a device or "peer", the default')
    add("--config", type=Path, help="file with [[fence]] tables, such as haagent.toml")
    add("--node", help="which node this host is; its host name if left out")
    add("--socket", type=Path, default=CONTROL_SOCKET, help="control socket of haagent's daemon")
    add("--device", action="append", default=[], help="only this device; repeatable")
    add("--level", type=int, help="only the devices of this level")
    add("--deadline", help='limit of one device, such as "10s"')
    add("--dry-run", action="store_true", help="say what would be done, contact nobody")
    add("--yes", action="store_true", help="do not ask for the node's name")
    add("--this-node", action="store_true", help="even if it is the node that this runs on")
    add("--json", action="store_true", help="one JSON object on stdout, at the end")
    one = parser.add_argument_group("one device, without a file")
    add = one.add_argument
    add("--driver", choices=sorted(DRIVERS))
    add("--address", help="host, or serial line")
    add("--user", help="account at the device")
    add("--password-file", help="one line, mode 0600")
    add("--kg-file", help="the BMC key of IPMI 2.0, mode 0600")
    add("--off-settle", metavar="TIME", help='wait before the last reading; "2s" if left out')
    add("--identity", metavar="UUID", help="order only if it is this machine")
    add("--option", action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    return parser


if __name__ == "__main__":
    sys.exit(main())
