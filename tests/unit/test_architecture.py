# SPDX-License-Identifier: GPL-2.0-or-later
"""The rooms of the project and the doors between them, read from the imports themselves."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
CORE_CODE_LINES_MAX = 2000
"""The core is small enough to be read in an afternoon. Source: docs/adr/0009."""
UNTRUE = {
    "asyncio",
    "time",
    "random",
    "socket",
    "logging",
    "os",
    "threading",
    "secrets",
    "datetime",
}
"""Clocks, chance and the outside world: nothing a pure core may know."""
BANNED_NAMES = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
EDGES = ("links", "vip", "resources", "witness", "drill", "config", "metrics", "alerts")


def modules(*places: str) -> list[Path]:
    """Every Python file below those folders."""
    return sorted(path for place in places for path in (ROOT / place).rglob("*.py"))


PACKAGES = modules("haagent", "fencing", "hil")


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Every module a file imports, also inside functions; "from a import b" gives a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def below(module: str, package: str) -> bool:
    """The module is that package or lies in it."""
    return module == package or module.startswith(package + ".")


def importers(package: str, *, of: list[Path]) -> set[str]:
    """The modules that import something of the package."""
    return {name_of(path) for path in of if any(below(name, package) for name in imports(path))}


@pytest.mark.parametrize("path", modules("haagent/core"), ids=name_of)
def test_core_is_pure(path: Path) -> None:
    """The core imports itself, fence outcomes, and a standard library without clocks or sockets."""
    for module in imports(path):
        top = module.partition(".")[0]
        assert top not in UNTRUE, f"{path.name} imports {module}"
        allowed = (
            below(module, "haagent.core")
            or module in {"fencing", "fencing.FenceOutcome"}
            or top in sys.stdlib_module_names
        )
        assert allowed, f"{path.name} imports {module}"


def test_core_asks_nobody() -> None:
    """The core opens, prints and awaits nothing."""
    for path in modules("haagent/core"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await)), path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"open", "print", "input", "eval", "exec"}, path


def test_core_is_small() -> None:
    """The core's code is small: statements and their lines, comments and docstrings apart."""
    total = 0
    for path in modules("haagent/core"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        lines: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.stmt) and not _is_docstring(node):
                lines.add(node.lineno)
        total += len(lines)
    assert total < CORE_CODE_LINES_MAX


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_fencing_stands_alone() -> None:
    """The fencing package imports nothing of haagent: it works from a console with no daemon."""
    assert importers("haagent", of=modules("fencing")) == set()
    assert importers("scapy", of=modules("fencing")) == set()


def test_fencing_drivers_are_leaves() -> None:
    """Protocol libraries are imported by drivers only."""
    users = importers("pyghmi", of=PACKAGES) | importers("sushy", of=PACKAGES)
    assert all(below(name, "fencing.drivers") for name in users), users


def test_pydantic_has_one_room() -> None:
    """Only the forms of the file's tables know pydantic; frozen dataclasses go inward."""
    users = importers("pydantic", of=modules("haagent"))
    assert users == {"haagent.config.schema", "haagent.config.watching_schema"}
    assert importers("pydantic", of=modules("fencing")) == set()


def test_only_the_program_imports_the_agent() -> None:
    """Nobody but the command line knows the loop: imports point one way."""
    users = importers("haagent.agent", of=modules("haagent"))
    outside = {name for name in users if not below(name, "haagent.agent")}
    assert outside <= {"haagent.__main__", "haagent.cli.app"}, outside


def test_edges_do_not_look_up() -> None:
    """An edge imports neither the loop nor the command line."""
    for edge in EDGES:
        for path in modules(f"haagent/{edge}"):
            for module in imports(path):
                assert not below(module, "haagent.agent"), f"{path} imports {module}"
                assert not below(module, "haagent.cli"), f"{path} imports {module}"


def test_nobody_ships_the_bench() -> None:
    """The installed packages never import the bench or the tests."""
    for package in ("hil", "tests"):
        assert importers(package, of=modules("haagent", "fencing")) == set()


def test_scapy_stays_with_the_addresses() -> None:
    """Only the address package builds packets, and only the bench reads them."""
    users = importers("scapy", of=PACKAGES)
    assert all(below(name, "haagent.vip") or below(name, "hil") for name in users), users


@pytest.mark.parametrize("path", PACKAGES, ids=name_of)
def test_sizes(path: Path) -> None:
    """No module above 400 lines, no function above 70: at that size it wants to be two."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MODULE_LINES_MAX
    for name, lines in functions(ast.parse(text)):
        assert lines <= FUNCTION_LINES_MAX, f"{name} has {lines} lines"


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every function and its length, without its docstring."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            first = node.body[0]
            if _is_docstring(first) and first.end_lineno is not None:
                lines -= first.end_lineno - first.lineno + 1
            yield node.name, lines


@pytest.mark.parametrize("path", PACKAGES, ids=name_of)
def test_names(path: Path) -> None:
    """No module or class is named after nothing."""
    assert path.stem not in BANNED_NAMES
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            ending = node.name.lower()
            assert not ending.endswith(("utils", "helper", "helpers", "manager")), node.name
