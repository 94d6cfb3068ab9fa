"""A new package with a plugin or a bridge in it, made of the templates in `skeletons/`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from crust import plugin
from crust.errors import Conflict, Invalid

SKELETONS = Path(__file__).with_name("skeletons")
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
SUFFIX = ".j2"
TAKEN = frozenset({*plugin.__all__, "Config", "Field"})
"""Names that the module of a new plugin imports or defines, or may soon."""


def make(name: str, folder: Path, what: Literal["plugin", "bridge"], there: Collection[str]) -> list[Path]:
    """Write the package `crust-<name>` into a folder; gives the files.

    Args:
        there: the plugins that there are already.

    Raises:
        Invalid: the name can be none, or the folder is not there.
        Conflict: there is such a plugin, or such a folder. Nothing is overwritten.
    """
    class_name = class_of(name)
    if name in there:
        raise Conflict(f"There is a plugin {name} already: choose another name.")
    if not folder.is_dir():
        raise Invalid(f"There is no folder {folder}.")
    root = folder / f"crust-{name.replace('_', '-')}"
    if root.exists():
        raise Conflict(f"{root} is there already; nothing was changed.")
    environment = Environment(loader=FileSystemLoader(SKELETONS / what), undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701  # no HTML
    values = {"name": name, "class_name": class_name, "package": f"crust_{name}", "project": root.name}
    files = {environment.from_string(path.removesuffix(SUFFIX)).render(values): path for path in environment.list_templates([SUFFIX[1:]])}
    for path, template in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(environment.get_template(template).render(values))
    return [root / path for path in files]


def class_of(name: str) -> str:
    """What the class of a plugin of this name is called: `HelloWorld` for hello_world.

    Raises:
        Invalid: the name can be none.
    """
    made = "".join(part.capitalize() for part in name.split("_"))
    if not NAME.fullmatch(name):
        raise Invalid(f"{name!r} can be no plugin's name: one has small letters, digits and _, begins with a letter, and has 31 at most.")
    if keyword.iskeyword(name) or made in TAKEN or not made.isidentifier():
        raise Invalid(f"{name!r} means something else in Python, or in a plugin: choose another name.")
    return made
