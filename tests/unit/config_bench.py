# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration on disk, with its keys and passwords, for the tests that load one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from haagent.config import Configuration, ConfigurationError, load

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def example() -> str:
    """The complete example of the documentation."""
    match = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert match is not None
    return match.group(1)


def with_groups(text: str) -> str:
    """The complete example with other groups, and a stop budget that is long enough for them."""
    head = example().partition("[[group]]")[0]
    return head.replace('stop_budget = "20s"', 'stop_budget = "5m"') + text


def everything() -> str:
    """The complete example with the page's group that has every kind of resource."""
    return with_groups(_block("[[group]]"))


def witnesses() -> str:
    """The page's [[witness]] tables, to stand after another text."""
    return _block("[[witness]]")


def _block(begin: str) -> str:
    blocks: list[str] = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return next(block for block in blocks if block.startswith(begin))


def prepare(folder: Path) -> None:
    """Write the files that the example refers to."""
    for name, content in {
        "key.1": "11" * 32,
        "key.2": "22" * 32,
        "alpha-bmc.password": "alpha's secret\n",
        "beta-bmc.password": "beta's secret\n",
    }.items():
        path = folder / name
        path.write_text(content)
        path.chmod(0o600)


class Site:
    """A folder with everything the example needs."""

    def __init__(self, folder: Path) -> None:
        prepare(folder)
        self.folder = folder
        self.file = folder / "haagent.toml"

    def load(self, text: str, node: str | None = "alpha") -> Configuration:
        """Write `text` as the configuration file and load it."""
        self.file.write_text(text)
        return load(self.file, node)

    def changed(
        self, *changes: tuple[str, str], node: str | None = "alpha", text: str | None = None
    ) -> Configuration:
        """Load the example, or `text`, with texts replaced, each found exactly once or more."""
        text = example() if text is None else text
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        return self.load(text, node)

    def refusal(
        self, *changes: tuple[str, str], node: str | None = "alpha", text: str | None = None
    ) -> list[str]:
        """Lines of the refusal of the example (or `text`), changed so, less the file's name."""
        with pytest.raises(ConfigurationError) as caught:
            self.changed(*changes, node=node, text=text)
        start, lines = f"{self.file}: ", caught.value.errors
        assert all(line.startswith(start) for line in lines), lines
        return [line.removeprefix(start) for line in lines]
