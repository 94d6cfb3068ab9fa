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
cli → torture
cli, torture → worker → runtime
cli, testing, torture → runtime → api, ws, web, operations → host → services → log → models → settings, telemetry, events
settings, telemetry, events → errors, ids, clock, strict_json
services → files → settings, telemetry
models → words
runtime → servers → ws
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
    return reach | ONLY | {"": set()} | {folder: {"plugin"} for folder in SHIPPED}


def violations(root: Path) -> list[str]:
    """Every import below `root` that goes the wrong way, as `file:line: what`."""
    may = allowed()
    files = [path for folder in ("crust", *SHIPPED) for path in sorted((root / folder).rglob("*.py"))]
    return [found for path in files for found in _violations_of(path.relative_to(root), path.read_text(), may)]


def _violations_of(path: Path, source: str, may: dict[str, set[str]]) -> Iterator[str]:
    part = _part(path)
    known = may.get(part)
    if known is None:
        yield f"{path}: `{part}` has no place in the table of tests/unit/test_imports.py"
        return
    for line, target in _imports(path, source, set(may)):
        if target not in ("", part, *known):
            yield f"{path}:{line}: `{part}` may not import `crust.{target}`; it may import {', '.join(sorted(known)) or 'nothing'}"


def _part(path: Path) -> str:
    """`services` for crust/services/core.py, empty for crust/__init__.py, `plugins` for all below plugins/."""
    if path.parts[0] in SHIPPED:
        return path.parts[0]
    return path.parts[1].removesuffix(".py").replace("__init__", "")


def _imports(path: Path, source: str, parts: set[str]) -> Iterator[tuple[int, str]]:
    """Each import of a part of crust, with its line. What crust/__init__.py itself defines is open to all."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in _names(path, node, parts):
                package, _, rest = name.partition(".")
                if package == "crust":
                    yield node.lineno, rest.partition(".")[0]


def _names(path: Path, node: ast.Import | ast.ImportFrom, parts: set[str]) -> list[str]:
    """The modules that one statement imports; of `from crust import …` those that are parts."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = _absolute(path, node)
    return [f"crust.{alias.name}" for alias in node.names if alias.name in parts] if base == "crust" else [base]


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    """The module that a `from … import` names, also where it counts dots."""
    if not node.level:
        return node.module or ""
    package = path.parts[: len(path.parts) - node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def test_imports_run_one_way() -> None:
    """Nothing in the tree imports against the direction."""
    assert not (found := violations(ROOT)), "\n".join(found)


def test_the_table() -> None:
    """The table means what it should, at the places where lines meet."""
    may = allowed()
    assert {"api", "web", "ws", "host", "services", "broker", "log", "plugin", "errors"} <= may["runtime"]
    assert {"broker", "log", "plugin"} <= may["ws"]
    assert not may["services"] & {"broker", "host", "plugin", "api"}
    assert not may["api"] & {"ws", "web", "runtime"}
    assert may["plugin"] == {"events", "errors"}
    assert "runtime" in may["torture"]
    assert not [part for part, reach in may.items() if "torture" in reach and part != "cli"]


@pytest.mark.parametrize(
    ("file", "source", "wrong"),
    [
        ("crust/services/rooms.py", "from crust.api.room import Room", "`services` may not import `crust.api`"),
        ("crust/services/rooms.py", "import crust.broker.base", "`services` may not import `crust.broker`"),
        ("crust/services/rooms.py", "from crust import host", "`services` may not import `crust.host`"),
        ("crust/services/rooms.py", "from ..ws import gateway", "`services` may not import `crust.ws`"),
        ("crust/services/rooms.py", "from .. import web", "`services` may not import `crust.web`"),
        ("crust/log/__init__.py", "from ..models.tables import Room\nfrom ..broker import base", "log/__init__.py:2: `log`"),
        ("crust/api/room.py", "def f():\n    from crust.ws import gateway", "`api` may not import `crust.ws`"),
        ("crust/plugin/hooks.py", "from crust.ids import next_id", "`plugin` may not import `crust.ids`"),
        ("crust/ids.py", "from crust.clock import rfc3339", "`ids` may not import `crust.clock`"),
        ("crust/__init__.py", "from crust.errors import CrustError", "may not import `crust.errors`"),
        ("crust/tools.py", "", "`tools` has no place in the table"),
        ("plugins/crust_echo/echo.py", "from crust.services import core", "`plugins` may not import `crust.services`"),
        ("bridges/crust_irc/irc.py", "import crust.errors", "`bridges` may not import `crust.errors`"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, file: str, source: str, wrong: str) -> None:
    """However it is written, an import against the direction is found and named."""
    planted = tmp_path / file
    planted.parent.mkdir(parents=True)
    planted.write_text(source)
    [found] = violations(tmp_path)
    assert wrong in found


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            "crust/services/rooms.py",
            "import asyncio\nfrom crust import __version__\nfrom crust.services.core import Core\nfrom .names import name",
        ),
        ("crust/cli/main.py", "import crust\nfrom crust.ids import next_id\nfrom crust.log.log import Log\nimport crust_irc"),
        ("crust/ws/fan_out.py", "from crust.broker.base import Broker"),
        ("plugins/crust_echo/echo.py", "from crust.plugin import hook\nfrom crust_echo.more import more\nfrom . import more"),
    ],
)
def test_a_right_import_is_not(tmp_path: Path, file: str, source: str) -> None:
    """What runs in the direction, stays within a part or leaves crust is nobody's business."""
    planted = tmp_path / file
    planted.parent.mkdir(parents=True)
    planted.write_text(source)
    assert violations(tmp_path) == []
