# SPDX-License-Identifier: GPL-2.0-or-later
"""The way of one command, from what was asked for to its exit code.

What it is about is selected first, and what must not be is refused. A dry run ends there. Before
a shot the person is told what is known of the node and types its name. Then the devices are
asked, every step is shown as it happens, and the result is told in one piece.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from fencing import core_dump
from fencing.console import checking, plan
from fencing.console.confirmation import confirm, require_terminal
from fencing.console.course import Course
from fencing.console.daemon import Daemon, Standing
from fencing.console.exits import Exit, RefusedError
from fencing.console.order import Order
from fencing.console.output import Output
from fencing.console.result import Result, attempt
from fencing.console.selection import Selection, select
from fencing.console.site import Site
from fencing.console.switching import Switching


def carry_out(order: Order, site: Callable[[], Site], daemon: Daemon, output: Output) -> Exit:
    """Carry out one command and tell its result; returns the exit code.

    Args:
        order: What is asked for.
        site: Finds what there is to work with; may refuse.
        daemon: Of this host.
        output: Where to.
    """
    core_dump.forbid()
    try:
        result = _carried_out(order, site, daemon, output)
    except RefusedError as refused:
        for line in refused.lines:
            output.say(line)
        result = Result(order.verb, refused.code, "; ".join(refused.lines))
        output.finish(result.rendered(order) if order.as_json else "")
        return refused.code
    except KeyboardInterrupt:
        # While the power is switched, Ctrl-C is no exception: see interruption.
        result = Result(order.verb, Exit.INTERRUPTED, "interrupted: nothing was ordered")
    except Exception as bug:  # noqa: BLE001  # Python's own code for it, 1, would say "done"
        text = f"this program failed, an order may have been given: {_place(bug)}"
        result = Result(order.verb, Exit.UNPROVED, text, ordered=True)
    with suppress(KeyboardInterrupt):  # A result that nobody wants to wait for.
        output.finish(result.rendered(order))
    return result.exit


def _place(bug: Exception) -> str:
    """What struck and where, without its text, which may hold a secret."""
    frames = traceback.extract_tb(bug.__traceback__)
    places = (f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(bug).__name__}: {', '.join(places)}"


def _carried_out(
    order: Order, find_site: Callable[[], Site], daemon: Daemon, output: Output
) -> Result:
    site = find_site()
    selections = select(site, order)
    if order.verb.cuts:
        _refuse_own(order, selections[0].node, site.me)
    if order.dry_run:
        return _planned(order, selections, site)
    if not (order.verb.cuts or order.verb.gives):
        return _checked(order, selections, output)
    roles = None
    if order.verb.cuts:
        roles = _warned(order, selections[0], daemon, output).roles
    course = Course(output)
    course.take_logs()
    switching = Switching(order, selections[0], site, daemon, course)
    return _switched(order, switching, course, roles)


def _refuse_own(order: Order, node: str, me: str | None) -> None:
    if node == me and not order.this_node:
        text = (
            f"{node} is the node that this runs on: its power is not cut, because nobody would be "
            "left to read it off or to give it back; --this-node does it all the same"
        )
        raise RefusedError(Exit.NOT_ORDERED, text)


def _planned(order: Order, selections: Sequence[Selection], site: Site) -> Result:
    parts = plan.plan(order, selections, site)
    return Result(
        command=order.verb,
        exit=Exit.DONE,
        message="dry run: nobody was contacted, nothing was ordered",
        nodes=tuple(selection.node for selection in selections),
        dry_run=True,
        plan=tuple(parts),
        text=tuple(plan.lines(parts)),
    )


def _checked(order: Order, selections: Sequence[Selection], output: Output) -> Result:
    course = Course(output)
    course.take_logs()
    checked = asyncio.run(checking.check(selections, course))
    code, message = checking.verdict(order.verb, checked)
    return Result(
        command=order.verb,
        exit=code,
        message=message,
        nodes=tuple(selection.node for selection in selections),
        levels=tuple(checking.levels(checked)),
        devices=tuple(checking.data(checked)),
        steps=tuple(course.data()),
        text=tuple(checking.lines(checked)),
    )


def _warned(order: Order, selection: Selection, daemon: Daemon, output: Output) -> Standing:
    """Tell what a shot means, and have it confirmed.

    Raises:
        RefusedError: It is not confirmed, or the node is our own, as its daemon says.
    """
    if not order.yes:
        require_terminal()
    node = selection.node
    standing = daemon.standing(node, order.verb)
    _refuse_own(order, node, standing.me)
    then = ", and gives it back" if order.verb.gives else ""
    output.say(f"This cuts the power of {node} at once, without a shutdown{then}.")
    for line in standing.lines:
        output.say(line)
    if not order.yes:
        confirm(node, output)
    return standing


def _switched(
    order: Order, switching: Switching, course: Course, roles: Mapping[str, str] | None
) -> Result:
    code, message = asyncio.run(switching.run())
    report, answer = switching.report, switching.answer
    proof = None
    if report is not None and switching.proves:
        proof = {
            "read_ns": report.read_off_monotonic_ns,
            "accepted": None if answer is None else answer.accepted,
            "message": "" if answer is None else answer.message,
        }
    return Result(
        command=order.verb,
        exit=code,
        message=message,
        nodes=(switching.node,),
        ordered=switching.ordered,
        proof=proof,
        roles=roles,
        attempts=tuple(attempt(step, course) for step in report.steps) if report else (),
        steps=tuple(course.data()),
    )
