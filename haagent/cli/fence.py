# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent fence`: a person at the console, beside the daemon or without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from haagent.cli.options import DEFAULT_CONFIG, DEFAULT_SOCKET, JsonOption, NodeOption, SocketOption

if TYPE_CHECKING:
    from fencing.console.order import Order
    from fencing.console.site import Site

USAGE = 64
"""fencing.console.exits.Exit.USAGE, which is imported with everything else when it is needed."""


class FenceCommand(TyperCommand):
    """A command whose wrong usage ends with its own exit code: 2 means something else here."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as always."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # Its class is click's own or Typer's copy of it: that depends on the release of Typer.
            if hasattr(error, "exit_code") and error.exit_code not in (None, 0):
                error.exit_code = USAGE
            raise


def fence(  # noqa: PLR0913  # every option is a parameter
    *,
    command: Annotated[
        Literal["status", "off", "on", "cycle", "test"],
        typer.Argument(help="cycle: off, proved, then on. test: is every device ready?"),
    ],
    target: Annotated[
        str | None,
        typer.Argument(help='A node, a device or "peer", the default. test: both nodes.'),
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option("--device", help="Only this device; repeatable.")
    ] = None,
    level: Annotated[int | None, typer.Option(help="Only the devices of this level.")] = None,
    deadline: Annotated[
        str | None, typer.Option(help='Limit of one device, such as "10s".')
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; contact nobody.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the node's name.")] = False,
    this_node: Annotated[
        bool, typer.Option("--this-node", help="Even if it is the node that this runs on.")
    ] = False,
    as_json: JsonOption = False,
    config: Annotated[Path, typer.Option(help="The configuration file.")] = DEFAULT_CONFIG,
    node: NodeOption = None,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Read or switch a node's power, with its fence devices and their proof; daemon or not.

    Steps go to stderr as they happen, the result to stdout. A proof that the node is off is
    offered to the agent, which then takes over.

    Exit codes: 0 done and read back; status: every device was read; test: ready. 1 done, or
    usable, but something needs a person. 2 status, test: a device cannot be counted on. 3 nothing
    was ordered. 4 not proved; an order may have been carried out, now or later. 5 cycle: proved
    off, but not read on again. 64 wrong usage. 78 the configuration is refused. 130 interrupted;
    the last line says what may still happen.
    """
    # All of it is imported here, because the other commands start faster without it.
    from fencing.console.command import carry_out  # noqa: PLC0415
    from fencing.console.exits import RefusedError  # noqa: PLC0415
    from fencing.console.order import Order, Verb, deadline_s  # noqa: PLC0415
    from fencing.console.output import Output  # noqa: PLC0415
    from haagent.cli.shot import Agent  # noqa: PLC0415

    try:
        limit_s = deadline_s(deadline)
    except RefusedError as refused:
        typer.echo(f"haagent: {refused}", err=True)
        raise typer.Exit(refused.code) from None
    order = Order(
        verb=Verb(command),
        target=target,
        devices=tuple(device or ()),
        level=level,
        deadline_s=limit_s,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
        this_node=this_node,
    )
    code = carry_out(
        order, lambda: _site(order, config, node, socket), Agent(socket), Output.standard()
    )
    raise typer.Exit(code)


def _site(order: Order, config: Path, node: str | None, socket: Path) -> Site:
    """What the configuration says; one must know who one is before one shoots."""
    from fencing.console.exits import Exit, RefusedError  # noqa: PLC0415
    from fencing.console.site import read_site  # noqa: PLC0415

    site = read_site(config, node, socket)
    if site.me is None and order.verb.cuts and not order.this_node:
        text = (
            f"this host is none of {', '.join(site.nodes)} by its name: --node says which one it "
            "is, --this-node that it may be the one that is shot"
        )
        raise RefusedError(Exit.USAGE, text)
    return site
