"""Imports run one way, so that the rules know nothing of HTTP and a plugin nothing of the core's insides."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From left to right: each may import whatever stands further right in its line, and what that may import; those between two
# arrows don't know each other.
LINES = """
cli, testing → runtime → api, ws, web → host → services → log → models → settings, telemetry, events → errors, ids, clock
host, ws → broker → log
host → plugin
"""
ONLY = {"plugin": {"events", "errors"}}  # these import nothing else of crust
SHIPPED = ("plugins", "bridges")  # packages beside crust, which see `crust.plugin` alone


def allowed() -> dict[str, set[str]]:
    """What each part of crust may import, itself not counted."""
    direct: dict[str, set[str]] = {}
    for line in LINES.strip().splitlines():
        ranks = [{name.strip() for name in rank.split(",")} for rank in line.split("→")]
        for rank, below in zip(ranks, [*ranks[1:], set[str]()], strict=True):
            for name in rank:
                direct.setdefault(name, set()).update(below)
    direct |= ONLY
    reach: dict[str, set[str]] = {}
    for name in TopologicalSorter(direct).static_order():  # fails where the table itself goes round in a circle
        reach[name] = direct[name].union(*(reach[below] for below in direct[name]))
    return reach | ONLY


def violations(root: Path) -> list[str]:
    """Every import below `root` that goes the wrong way, as `file:line: what`."""
    may = allowed()
    files = [path for folder in ("crust", *SHIPPED) for path in sorted((root / folder).rglob("*.py"))]
    return [found for path in files for found in _violations_of(path.relative_to(root), path.read_text(), may)]


def _violations_of(path: Path, source: str, may: dict[str, set[str]]) -> Iterator[str]:
    part = _part(path)
    known = {"plugin"} if path.parts[0] in SHIPPED else may.get(part)
    if known is None and part:
        yield f"{path}: `{part}` has no place in the table of tests/unit/test_imports.py"
        return
    for line, target in _imports(path, source, set(may)):
        if target and target != part and target not in (known or ()):
            yield f"{path}:{line}: `{part or 'crust'}` may not import `crust.{target}`; it may import {', '.join(sorted(known or ())) or 'nothing'}"


def _part(path: Path) -> str:
    """`services` for crust/services/core.py, empty for crust/__init__.py, `plugins` for all below plugins/."""
    if path.parts[0] in SHIPPED:
        return path.parts[0]
    return path.parts[1].removesuffix(".py").replace("__init__", "")


def _imports(path: Path, source: str, parts: set[str]) -> Iterator[tuple[int, str]]:
    """Each import of crust: its line and the part, which is empty for what crust/__init__.py itself defines."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(path, node)
            names = [f"crust.{alias.name}" for alias in node.names] if base == "crust" else [base]
        for name in names:
            package, _, rest = name.partition(".")
            part = rest.partition(".")[0]
            if package == "crust":
                yield node.lineno, part if part in parts or isinstance(node, ast.Import) or name != f"crust.{part}" else ""


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    """The module that a `from … import` names, also where it counts dots."""
    if not node.level:
        return node.module or ""
    package = path.parts[: len(path.parts) - node.level]
    return ".".join([*package, *([node.module] if node.module else [])])
