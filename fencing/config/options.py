# SPDX-License-Identifier: GPL-2.0-or-later
"""A driver's own settings, read and judged by what fencing.drivers declares of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import assert_never

from fencing import Option
from fencing.config import duration, forms
from fencing.config.forms import FormError
from fencing.config.problems import ABSENT, HIDDEN, Problem, join, nearest
from fencing.drivers import Driver, Kind, OptionForm

TEXT_CHARACTERS_MAX = 256
"""More than any option needs; a longer text is something else, such as a key."""
ENTRIES_MAX = 64
"""More than the outlets of any PDU that we know."""
INTEGER_MAX = 2**63 - 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SECRET = re.compile(r"pass|secret|token|api_?key|(?:^|[_-])kg$", re.IGNORECASE)
"""Names under which fence agents and libraries expect a secret."""


def read_options(
    value: object, driver_name: str, driver: Driver, where: str
) -> tuple[dict[str, Option], list[Problem]]:
    """The options that could be read, and everything that is wrong with them.

    Texts are never shown: any of them may be a secret in the wrong place.

    Args:
        value: What stands under `options`.
        driver_name: The driver's name in the file.
        driver: What is declared of it.
        where: Key path of `options`.
    """
    if not isinstance(value, dict):
        return {}, [Problem(where, HIDDEN, "not a table; such as { port = 623 }")]
    options: dict[str, Option] = {}
    problems: list[Problem] = []
    for name, item in value.items():
        path = f"{where}.{join(name)}"
        refusal = _refusal(name, driver_name, driver)
        if refusal is not None:
            problems.append(Problem(path, HIDDEN, refusal))
            continue
        form = driver.options.get(name)
        try:
            options[name] = _scalar(item) if form is None else read_option(item, form)
        except ValueError as error:
            visible = form is not None and isinstance(item, (bool, int, float))
            problems.append(Problem(path, item if visible else HIDDEN, str(error)))
    for name, form in driver.options.items():
        if form.required and name not in value:
            text = f"is missing; {form.help}: {describe(form)}"
            problems.append(Problem(f"{where}.{name}", ABSENT, text))
    return options, problems


def _refusal(name: str, driver_name: str, driver: Driver) -> str | None:
    """Say why there may be no option of this name, or None."""
    if name in driver.options:
        return None
    if _SECRET.search(name):
        return secret_advice(name)
    if not driver.open_options:
        known = ", ".join(driver.options)
        advice = nearest(name, driver.options, f"{driver_name} takes {known}")
        return f"unknown option; {advice}"
    if _NAME.fullmatch(name) is None:
        return "not the name of an option; ASCII letters, digits, '.', '_', '-'"
    return None


def secret_advice(name: str) -> str:
    """Where a secret belongs that was about to be written into the configuration."""
    key = "kg_file" if name.lower().endswith("kg") else "password_file"
    return f"a secret has no place in the configuration; use {key}"


def looks_secret(name: str) -> bool:
    """Whether one would write a secret under this name."""
    return _SECRET.search(name) is not None


def read_option(value: object, form: OptionForm) -> Option:
    """One declared option; a duration comes as seconds.

    Raises:
        ValueError: Not of that form; the text says which one is wanted, and shows no value.
    """
    match form.kind:
        case Kind.TEXT:
            return _chosen(_short_text(value), form)
        case Kind.INTEGER:
            return int(_bounded(_integer(value), form))
        case Kind.NUMBER:
            return _bounded(_number(value), form)
        case Kind.FLAG:
            if not isinstance(value, bool):
                raise FormError("neither true nor false; write it without quotes")
            return value
        case Kind.DURATION:
            if not isinstance(value, str):
                raise FormError('a duration carries its unit; such as "100ms", "1s" or "30m"')
            return _bounded(duration.parse(value) / duration.UNITS_NS["s"], form)
        case Kind.INTEGERS:
            return _integers(value, form)
        case Kind.FILE:
            return forms.absolute_path(value)
        case Kind.KEY:
            return forms.reservation_key(value)
        case _:
            assert_never(form.kind)


def describe(form: OptionForm) -> str:
    """What an option may be, in words: "duration, 0.1s to 60s" or "17 or 3"."""
    if form.choices:
        words = _alternatives(form.choices)
        return f"list of {words}" if form.kind is Kind.INTEGERS else words
    low, high = (_bound(form.kind, bound) for bound in (form.low, form.high))
    if low and high:
        return f"{form.kind}, {low} to {high}"
    if low or high:
        return f"{form.kind}, {f'at least {low}' if low else f'at most {high}'}"
    return form.kind.value


def _bound(kind: Kind, bound: float | None) -> str:
    if bound is None:
        return ""
    return f"{bound:g}s" if kind is Kind.DURATION else f"{bound:.15g}"


def _alternatives(choices: Iterable[Option]) -> str:
    *rest, last = [f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in choices]
    return f"{', '.join(rest)} or {last}" if rest else last


def _short_text(value: object) -> str:
    text = forms.text(value)
    if len(text) > TEXT_CHARACTERS_MAX or not text.isprintable():
        raise FormError(f"not a text of at most {TEXT_CHARACTERS_MAX} printable characters")
    return text


def _chosen(text: str, form: OptionForm) -> str:
    if form.choices and text not in form.choices:
        near = nearest(text, [str(choice) for choice in form.choices], "")
        raise FormError(f"must be {describe(form)}{f'; {near}' if near else ''}")
    return text


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > INTEGER_MAX:
        raise FormError("not an integer; write it without quotes")
    return value


def _number(value: object) -> float:
    if isinstance(value, float) and math.isfinite(value):
        return value
    return float(_integer(value))


def _bounded(value: float, form: OptionForm) -> float:
    outside = (form.low is not None and value < form.low) or (
        form.high is not None and value > form.high
    )
    if outside or (form.choices and form.kind is not Kind.INTEGERS and value not in form.choices):
        raise FormError(f"out of range; {describe(form)}")
    return value


def _integers(value: object, form: OptionForm) -> tuple[int, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= ENTRIES_MAX:
        raise FormError(f"not a list of 1 to {ENTRIES_MAX} integers; such as [1, 2]")
    numbers = tuple(_integer(entry) for entry in value)
    for number in numbers:
        if form.choices and number not in form.choices:
            raise FormError(f"each must be {_alternatives(form.choices)}")
        _bounded(number, form)
    if len(set(numbers)) < len(numbers):
        raise FormError("lists a number twice; list it once")
    return numbers


def _scalar(value: object) -> Option:
    """The value of an option that only the device knows."""
    match value:
        case str():
            return _short_text(value)
        case bool():
            return value
        case int() if abs(value) <= INTEGER_MAX:
            return value
        case float() if math.isfinite(value):
            return value
    raise FormError("not an option's value; a short text, a number, true or false")
