"""The beginnings of a plugin: a package that can be installed, with a configuration, a README and a test that passes."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from crust.errors import Conflict, Invalid

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 32  # characters: an instance's bot is called so


def make(name: str, folder: Path) -> list[Path]:
    """Write a package into `folder/crust-<name>`; gives the files.

    Raises:
        Invalid: the name cannot be a plugin's.
        Conflict: there is something in the folder already.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST or keyword.iskeyword(name):
        raise Invalid(f"{name!r} cannot be a plugin's name: small letters and digits, with hyphens between words, {LONGEST} at most.")
    root = folder / f"crust-{name}"
    if root.exists():
        raise Conflict(f"{root} is there already; nothing was written.")
    module = name.replace("-", "_")
    title = "".join(part.capitalize() for part in name.split("-"))
    made = []
    templates = Environment(
        loader=PackageLoader("crust", "plugin_templates"), undefined=StrictUndefined, keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # these are Python and TOML, and the name is checked
    )  # fmt: skip
    for template in sorted(templates.list_templates(extensions=["j2"])):
        path = root / placed(template.removesuffix(".j2"), module)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(templates.get_template(template).render(name=name, module=module, title=title))
        made.append(path)
    return made


def placed(template: str, module: str) -> str:
    """Where in the package a template's file goes."""
    moved = template.replace("package/", f"crust_{module}/").replace("/plugin.py", f"/{module}.py")
    return moved.replace("test_plugin.py", f"test_{module}.py")
