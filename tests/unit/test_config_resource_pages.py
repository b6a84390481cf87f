# SPDX-License-Identifier: GPL-2.0-or-later
"""Every page of docs/resources has a configuration of a whole pair, and it works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from config_bench import PAGE, Site
from typer.testing import CliRunner

from haagent.cli.app import app
from haagent.config import schema

PAGES = sorted((PAGE.parent / "resources").glob("*.md"))


def configuration(page: Path) -> str:
    """The one configuration of a page."""
    (block,) = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    return str(block)


def test_every_kind_has_its_page() -> None:
    """A page for each kind of resource, and one for probes; the configuration's page names them."""
    assert {page.stem for page in PAGES} == {*schema.KINDS, "probes"}
    text = PAGE.read_text()
    assert all(f"(resources/{page.name})" in text for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_shows_a_whole_pair(tmp_path: Path, page: Path) -> None:
    """check-config takes it as it stands, on both nodes, with one hash and without a warning."""
    site = Site(tmp_path)
    site.file.write_text(configuration(page))
    hashes = set()
    for node in ("alpha", "beta"):
        arguments = ["check-config", "--file-only", "--node", node, str(site.file)]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        assert "warning" not in done.output
        hashes.add(re.search(r"hash ([0-9a-f]{32})", done.output)[1])  # type: ignore[index]  # it is there
    assert len(hashes) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_shows_its_own_kind(tmp_path: Path, page: Path) -> None:
    """What the page is about is in its configuration."""
    kind, text = page.stem, configuration(page)
    assert (f'kind = "{kind}"' if kind != "probes" else "[group.probe]") in text
    assert Site(tmp_path).load(text).groups
