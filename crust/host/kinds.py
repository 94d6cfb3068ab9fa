"""Which plugins there are: those that packages announce by the entry point group `crust.plugins`, and those in `plugins_dir`.

A file `echo.py` or a package `crust_echo` in that folder is the plugin `echo`; it has one class that derives from `Plugin`. Nothing is
imported before it is used, so what is installed and not configured costs nothing and breaks nothing.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from crust.plugin import Plugin

GROUP = "crust.plugins"
PREFIX = "crust_"  # of packages, which share one space of names with everybody else's


class CannotLoad(Exception):
    """A plugin that cannot be had; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A plugin that there is. `source` says where it comes from; `load` gives its class, or raises `CannotLoad`."""

    name: str
    source: str
    load: Callable[[], type[Plugin[Any]]]


def kinds(folder: str = "") -> Mapping[str, Kind]:
    """All there are, by name. What is in the folder is taken in the place of what is installed under the same name."""
    found = {point.name: _announced(point) for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}
    if folder:
        found |= {kind.name: kind for kind in _in_folder(Path(folder).absolute())}
    return dict(sorted(found.items()))


def _announced(point: EntryPoint) -> Kind:
    source = f"{point.dist.name} {point.dist.version}" if point.dist else point.value

    def load() -> type[Plugin[Any]]:
        return _plugin(_tried(point.load, point.module), point.value)

    return Kind(point.name, source, load)


def _in_folder(folder: Path) -> Iterator[Kind]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        module = path.stem
        if module.isidentifier() and (path.suffix == ".py" or (path / "__init__.py").is_file()):
            yield Kind(module.removeprefix(PREFIX), str(path), _loader(folder, module))


def _loader(folder: Path, module: str) -> Callable[[], type[Plugin[Any]]]:
    def load() -> type[Plugin[Any]]:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))  # at the end: nobody's module is hidden by a plugin's
        loaded = _tried(lambda: importlib.import_module(module), module)
        if not Path(loaded.__file__ or "/").resolve().is_relative_to(folder.resolve()):
            raise CannotLoad(f"there is another module {module} already, {loaded.__file__}: give the plugin another name")
        return _only(loaded)

    return load


def _tried(load: Callable[[], Any], module: str) -> Any:
    """What loading gives; what goes wrong, in words."""
    try:
        return load()
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name == module.partition(".")[0]:
            raise CannotLoad(f"its package has no module {error.name}") from error
        raise CannotLoad(
            f"it needs the Python module {name}, which is not installed where Crust is: install the package it is in"
        ) from error
    except (Exception, SystemExit) as error:  # the boundary: a plugin's code runs here for the first time
        raise CannotLoad(f"it cannot be imported: {type(error).__name__}: {error}") from error


def _plugin(found: Any, name: str) -> type[Plugin[Any]]:
    if not (isinstance(found, type) and issubclass(found, Plugin)):
        raise CannotLoad(f"{name} is no class that derives from crust.plugin.Plugin")
    return found


def _only(module: ModuleType) -> type[Plugin[Any]]:
    """The one plugin that a module defines, itself or in its package."""
    own = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Plugin)
        and (value.__module__ == module.__name__ or value.__module__.startswith(f"{module.__name__}."))
    ]
    if len(own) != 1:
        raise CannotLoad(f"{module.__name__} has to define one class that derives from crust.plugin.Plugin, and has {len(own)}")
    return own[0]
