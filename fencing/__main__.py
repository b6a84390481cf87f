# SPDX-License-Identifier: GPL-2.0-or-later
"""Fencing from a console, with no daemon: `python -m fencing status|off|on --driver ipmi ...`.

Exit codes: 0 done and read back (status: the power was read), 1 UNKNOWN (an order may have been
carried out, nothing proves it), 2 wrong usage, 3 nothing was ordered (device not usable, or not
confirmed at the prompt).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from uuid import UUID

import structlog

from fencing import DeviceSettings, FenceOutcome, Secret
from fencing.client import Readiness
from fencing.drivers import NAMES
from fencing.levels import Fence

DONE, UNPROVED, NOT_ORDERED = 0, 1, 3
_EXIT_CODES = {
    FenceOutcome.CONFIRMED_OFF: DONE,
    FenceOutcome.UNKNOWN: UNPROVED,
    FenceOutcome.FAILED: NOT_ORDERED,
}


def main(arguments: list[str] | None = None) -> int:
    """Carry out one console command; returns the exit code."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        settings = _settings(options)
    except OSError as error:
        parser.error(f"--password-file {options.password_file}: {error.strerror}")
    if options.command == "off" and not options.yes and not _confirmed(settings.address):
        _say("not confirmed, nothing was ordered")
        return NOT_ORDERED
    return asyncio.run(_run(options.command, settings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fencing",
        description="Read or switch the power of one machine through its fence device.",
        epilog="Exit codes: 0 done and read back, 1 not proved, 2 usage, 3 nothing was ordered.",
    )
    parser.add_argument("command", choices=("status", "off", "on"))
    parser.add_argument("--driver", choices=sorted(NAMES), required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password-file", type=Path, required=True, help="one line, mode 0600")
    parser.add_argument("--port", type=int, help="the driver's own if left out")
    parser.add_argument("--identity", type=UUID, help="order only if it is this machine (UUID)")
    parser.add_argument("--off-settle", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument("--deadline", type=float, default=20.0, metavar="SECONDS")
    parser.add_argument("--yes", action="store_true", help="do not ask before off")
    return parser


def _settings(options: argparse.Namespace) -> DeviceSettings:
    return DeviceSettings(
        name=options.address,
        driver=options.driver,
        address=options.address,
        user=options.user,
        password=Secret(options.password_file.read_bytes().rstrip(b"\r\n")),
        off_settle_s=options.off_settle,
        deadline_s=options.deadline,
        expect_identity=options.identity,
        options={} if options.port is None else {"port": options.port},
    )


def _confirmed(address: str) -> bool:
    sys.stderr.write(f"This cuts the power of the machine behind {address}.\nType off to do it: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == "off"


async def _run(command: str, settings: DeviceSettings) -> int:
    checked = asyncio.Event()

    def heard(readiness: Readiness) -> None:
        del readiness  # The fence keeps it.
        checked.set()

    fence = Fence([settings], on_readiness=heard)
    await fence.start()
    try:
        if command == "off":
            report = await fence.off()
            _say(f"{report.outcome} {report.detail}")
            return _EXIT_CODES[report.outcome]
        if command == "on":
            given = await fence.on()
            _say("on" if given.ok else f"unknown {given.detail}")
            return DONE if given.ok else UNPROVED
        await checked.wait()
        return _tell(fence.readiness[0])
    finally:
        await fence.close()


def _tell(readiness: Readiness) -> int:
    if readiness.ready:
        _say(f"{readiness.power} {readiness.identity or 'no identity'}")
        return DONE
    _say(f"{readiness.power} {readiness.detail}")
    return NOT_ORDERED


def _say(line: str) -> None:
    sys.stdout.write(f"{line.strip()}\n")


if __name__ == "__main__":
    sys.exit(main())
