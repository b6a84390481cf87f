# SPDX-License-Identifier: GPL-2.0-or-later
"""Any file at all gives a configuration or lines that say why not."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from config_bench import Site, everything, example, witnesses
from hypothesis import example as given_example
from hypothesis import given, settings
from hypothesis import strategies as st

from haagent.config import ConfigurationError, load

TREE = tomllib.loads(everything() + witnesses())

SCALARS = st.one_of(
    st.text(max_size=40),
    st.integers(),
    st.integers(min_value=2**63).map(lambda number: number * 2**4000),
    st.floats(),
    st.booleans(),
    st.dates(),
    st.sampled_from(
        [
            "",
            ".",
            "/",
            "nul\0",
            "1s",
            "0s",
            "99999d",
            "0.0.0.0/0",
            "::/0",
            "eth0",
            "192.0.2.11",
            "alpha",
            "beta",
            "vip",
            "ocf",
            "http://[",
            "manual",
        ]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Keys and passwords in place, once for all examples."""
    with tempfile.TemporaryDirectory() as folder:
        yield Site(Path(folder))


def check(site: Site, content: bytes) -> None:
    """Load `content`; a refusal is made of printable lines, each with the file's name first."""
    site.file.write_bytes(content)
    try:
        configuration = load(site.file, "alpha")
    except ConfigurationError as error:
        for line in (*error.errors, *error.warnings):
            assert line.startswith(f"{site.file}: "), line
            assert line.isprintable(), line
            assert len(line) < 800, line
    else:
        assert configuration.node_names[configuration.pair.me] == "alpha"


@given(content=st.binary(max_size=300))
@settings(max_examples=150)
def test_any_bytes(site: Site, content: bytes) -> None:
    """Arbitrary bytes never give a traceback."""
    check(site, content)


@given(content=st.text(max_size=300))
@settings(max_examples=150)
@given_example(content="[" * 5000)
@given_example(content=".".join("a" * 3000) + " = 1")
def test_any_text(site: Site, content: str) -> None:
    """Arbitrary text never gives a traceback."""
    check(site, content.encode(errors="replace"))


@given(data=st.data())
@settings(max_examples=200)
def test_text_with_a_part_replaced(site: Site, data: st.DataObject) -> None:
    """The example with any stretch cut out, doubled or overwritten never gives a traceback."""
    text = example()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 200)))
    middle = data.draw(st.one_of(st.just(text[start:end] * 2), st.text(max_size=20)))
    check(site, (text[:start] + middle + text[end:]).encode(errors="replace"))


@given(data=st.data())
@settings(max_examples=250)
def test_tree_with_values_replaced(site: Site, data: st.DataObject) -> None:
    """The example with up to three values replaced by anything, of any type, never does either."""
    tree = _copy(TREE)
    for _ in range(data.draw(st.integers(1, 3))):
        holder: Any = tree
        while True:
            keys = sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            deeper = isinstance(holder[key], (dict, list)) and data.draw(st.integers(0, 4))
            if not deeper:
                _mutate(holder, key, data)
                break
            holder = holder[key]
    check(site, _toml(tree).encode(errors="replace"))


def _mutate(holder: Any, key: Any, data: st.DataObject) -> None:
    """Replace, remove or double what stands at `key`."""
    match data.draw(st.sampled_from(["replace", "remove", "double"])):
        case "replace":
            holder[key] = data.draw(VALUES)
        case "remove":
            del holder[key]
        case _ if isinstance(holder, list):
            holder.append(_copy(holder[key]))
        case _:
            holder[data.draw(st.text(max_size=8))] = _copy(holder[key])


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def _toml(tree: dict[str, Any]) -> str:
    return "".join(f"{_string(key)} = {_value(value)}\n" for key, value in tree.items())


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            inner = ", ".join(f"{_string(key)} = {_value(item)}" for key, item in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list():
            return f"[{', '.join(_value(item) for item in value)}]"
        case str():
            return _string(value)
        case int() if value.bit_length() > 10_000 or value >= 2**63:
            return hex(value)
        case _:
            return str(value)


def _string(text: str) -> str:
    inner = "".join(
        char if char.isalnum() and char.isascii() else f"\\U{ord(char):08x}" for char in text
    )
    return f'"{inner}"'
