# SPDX-License-Identifier: GPL-2.0-or-later
"""What the package carries, before it is installed anywhere."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer
from deb_bench import LIMIT_S, PASSWORDS, built

from haagent.cli.app import app
from haagent.cli.keys import write_new_key
from haagent.config import load
from haagent.install import FILES, HERE, LINKS, Owner
from hil.processes import run

pytestmark = [pytest.mark.deb, pytest.mark.timeout(LIMIT_S)]

ROOT = Path(__file__).parents[2]
LINTIAN_S = 600.0


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the checkout."""
    return built(tmp_path_factory)


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies in it."""
    folder = tmp_path_factory.mktemp("unpacked") / "root"
    run(["dpkg-deb", "-x", str(package), str(folder)])
    return folder


def test_lintian_finds_no_error(package: Path) -> None:
    """Debian's own judge of packages has nothing to say, and every override is used."""
    command = ["lintian", "--fail-on", "error,warning", "--allow-root", str(package)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LINTIAN_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_programs_are_those_of_the_project(unpacked: Path) -> None:
    """Each console script is in the environment, under its own interpreter, isolated."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    programs = unpacked / "opt/haagent/bin"
    assert {path.name for path in programs.iterdir()} == set(scripts)
    for name, entry in scripts.items():
        module, _, function = entry.partition(":")
        text = (programs / name).read_text()
        assert text.startswith("#!/opt/haagent/bin/python3 -I\n")
        assert f"from {module} import {function}\n" in text
        assert (programs / name).stat().st_mode & 0o777 == 0o755


def test_links_and_files_are_where_install_lays_them(unpacked: Path) -> None:
    """Unit, rules, group and links: of the sources of `haagent install`, at a package's places."""
    for file in FILES:
        laid = unpacked / Owner.PACKAGE.value / file.target
        assert laid.read_text() == (HERE / file.source).read_text()
        assert laid.stat().st_mode & 0o777 == file.mode
    for name, program in LINKS[Owner.PACKAGE].items():
        assert (unpacked / name).readlink() == Path("/opt/haagent/bin") / program


def test_nothing_tells_where_it_was_built(unpacked: Path) -> None:
    """No compiled module, and no path of the machine that built it."""
    environment = unpacked / "opt/haagent"
    assert not list(environment.rglob("__pycache__"))
    assert not list(environment.rglob("direct_url.json"))
    for path in (environment / "lib/python3/site-packages").glob("haagent*/**/*"):
        if path.is_file():
            assert str(ROOT).encode() not in path.read_bytes(), path
            assert b"haagent-deb-" not in path.read_bytes(), path


def test_the_program_has_a_page(unpacked: Path) -> None:
    """The program's own page names its option and every command."""
    page = run(["zcat", str(unpacked / "usr/share/man/man1/haagent.1.gz")]).stdout
    assert "\\-\\-version" in page
    assert all(f"haagent\\-{name}" in page for name in ("status", "doctor"))


def test_every_python_has_its_libraries(unpacked: Path) -> None:
    """The trees of all Pythons hold the same, each with libraries of its own tag, none shared."""
    library = unpacked / "opt/haagent/lib"
    trees = sorted(path for path in library.iterdir() if path.name != "python3")
    assert [path.name for path in trees] == [f"python3.{minor}" for minor in (11, 12, 13, 14)]
    contents = {
        frozenset(path.name for path in (tree / "site-packages").glob("*.dist-info"))
        for tree in trees
    }
    assert len(contents) == 1
    for tree in trees:
        tag = f"cpython-3{tree.name.removeprefix('python3.')}-"
        libraries = list(tree.rglob("*.so"))
        assert libraries
        assert all(tag in path.name for path in libraries if ".cpython-" in path.name)
    assert not [path for path in (library / "python3").rglob("*.so") if ".cpython-" in path.name]


def test_every_command_has_its_page_and_completion(unpacked: Path) -> None:
    """Manual pages and the completion of three shells know every command and long option."""
    group = typer.main.get_command(app)
    commands: dict[str, object] = group.commands  # type: ignore[attr-defined]  # of Typer's group
    share = unpacked / "usr/share"
    completions = [
        (share / path).read_text()
        for path in (
            "bash-completion/completions/haagent",
            "zsh/vendor-completions/_haagent",
            "fish/vendor_completions.d/haagent.fish",
        )
    ]
    for name, command in commands.items():
        page = run(["zcat", str(share / f"man/man1/haagent-{name}.1.gz")]).stdout
        for one in command.params:  # type: ignore[attr-defined]
            for option in one.opts if one.param_type_name == "option" else ():
                assert option.replace("-", "\\-") in page, (name, option)
                assert all(option.removeprefix("--") in text for text in completions), option
        assert all(re.search(rf"\b{re.escape(name)}\b", text) for text in completions)


def test_bash_completes(unpacked: Path) -> None:
    """The script offers commands, then a command's options and words."""
    script = unpacked / "usr/share/bash-completion/completions/haagent"
    ask = f"""
        . {script}
        complete_words() {{
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            _haagent
            echo "${{COMPREPLY[@]}}"
        }}
        complete_words haagent sw
        complete_words haagent fence cyc
        complete_words haagent status --j
        complete_words haagent --ver
    """
    offered = ["switchover", "cycle", "--json", "--version"]
    assert run(["bash", "-c", ask]).stdout.split() == offered


def test_the_example_configuration_loads(unpacked: Path, tmp_path: Path) -> None:
    """The example that is shipped is accepted as it is."""
    write_new_key(tmp_path / "key.1")
    for name in PASSWORDS:
        (tmp_path / name).write_text("secret\n")
        (tmp_path / name).chmod(0o600)
    example = tmp_path / "haagent.toml"
    example.write_bytes((unpacked / "usr/share/doc/haagent/examples/haagent.toml").read_bytes())
    assert load(example, "alpha").warnings == ()


def test_what_it_carries_is_named_with_its_licence(unpacked: Path) -> None:
    """The copyright file has a line for every distribution in the environment."""
    text = (unpacked / "usr/share/doc/haagent/copyright").read_text()
    for path in (unpacked / "opt/haagent/lib").glob("python3*/site-packages/*.dist-info"):
        version = path.name.removesuffix(".dist-info").rpartition("-")[2]
        assert re.search(rf"^ \S+ {re.escape(version)}: \S", text, re.MULTILINE), path.name
