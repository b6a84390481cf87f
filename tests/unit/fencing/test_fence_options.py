# SPDX-License-Identifier: GPL-2.0-or-later
"""Options are read as their driver declares them, and never shown where they may be secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from fence_texts import WORD
from hypothesis import given
from hypothesis import strategies as st

from fencing.config import device_table
from fencing.config.options import describe, read_option, read_options
from fencing.config.problems import HIDDEN, Problem
from fencing.drivers import DRIVERS, Address, Driver, Kind, OptionForm

OPTIONS = st.sampled_from(sorted({name for one in DRIVERS.values() for name in one.options}))


def test_the_registry_can_be_configured() -> None:
    """Every declared option has a form that can be met, and a name that is no key or secret's."""
    for name, driver in DRIVERS.items():
        for option, form in driver.options.items():
            assert option not in device_table.FIELDS, (name, option)
            assert describe(form)
            assert form.help
            assert form.low is None or form.high is None or form.low < form.high, (name, option)
            for choice in form.choices:
                value = [choice] if form.kind is Kind.INTEGERS else choice
                assert read_option(value, form) in (choice, (choice,)), (name, option)


@pytest.mark.parametrize(
    ("form", "good", "read", "bad"),
    [
        (OptionForm(Kind.FLAG, "f"), True, True, "true"),
        (OptionForm(Kind.NUMBER, "n", low=0.5), 1, 1.0, 0.25),
        (OptionForm(Kind.NUMBER, "n", high=2), 2.0, 2.0, float("nan")),
        (OptionForm(Kind.INTEGER, "i", choices=(1, 2)), 2, 2, 3),
        (OptionForm(Kind.INTEGER, "i"), -1, -1, 1.0),
        (OptionForm(Kind.INTEGER, "i"), 0, 0, 2**63),
        (OptionForm(Kind.DURATION, "d", low=0), "0s", 0.0, "-1s"),
        (OptionForm(Kind.TEXT, "t"), "x" * 256, "x" * 256, "x" * 257),
        (OptionForm(Kind.FILE, "p"), "/a", "/a", "a"),
        (OptionForm(Kind.INTEGERS, "l"), [2, 1], (2, 1), list(range(65))),
    ],
)
def test_forms_of_options(form: OptionForm, good: object, read: object, bad: object) -> None:
    """Each kind is read as declared, and nothing is coerced."""
    value = read_option(good, form)
    assert (value, type(value)) == (read, type(read))
    with pytest.raises(ValueError, match=r"\w"):
        read_option(bad, form)


@given(
    option=OPTIONS,
    driver=st.sampled_from(sorted(DRIVERS)),
    value=st.sampled_from([WORD, [WORD], {"a": WORD}, {WORD: 1}]),
)
def test_texts_in_options_are_never_shown(option: str, driver: str, value: object) -> None:
    """Whatever stands where an option belongs, a text of it is in no line."""
    _, problems = read_options({option: value}, driver, DRIVERS[driver], "options")
    assert all(WORD not in problem.line(Path("f")) for problem in problems)


def test_values_of_open_options_are_hidden() -> None:
    """Of an agent nobody knows which parameter is a secret: not even a number is shown."""
    driver = Driver("m", "a", Address.NONE, credentials=False, parallel=True, open_options=True)
    _, problems = read_options({"pin": float("inf")}, "agent", driver, "options")
    assert problems == [
        Problem(
            "options.pin", HIDDEN, "not an option's value; a short text, a number, true or false"
        )
    ]
