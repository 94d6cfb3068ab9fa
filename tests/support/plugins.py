"""Plugins for tests, written into a folder of their own."""

from __future__ import annotations

import secrets
import textwrap
from pathlib import Path

from crust.settings import PluginInstance, Settings

HEAD = """
from crust.plugin import *
from crust.plugin import Plugin, PluginConfig, hookimpl
"""


def written(folder: Path, source: str, *, head: str = HEAD) -> str:
    """Write a plugin; gives its name, which no other has, as Python keeps what it has imported."""
    name = f"p{secrets.token_hex(6)}"
    folder.mkdir(exist_ok=True)
    (folder / f"crust_{name}.py").write_text(head + textwrap.dedent(source))
    return name


def instance(use: str, **values: object) -> PluginInstance:
    """Settings of an instance, as its table has them."""
    return PluginInstance.model_validate({"use": use, **values})


def with_plugins(settings: Settings, folder: Path, **instances: PluginInstance) -> Settings:
    """The same settings, with plugins from a folder; the names of instances have hyphens where these have underscores."""
    plugins = {name.replace("_", "-"): each for name, each in instances.items()}
    return settings.model_copy(update={"plugins_dir": str(folder), "plugins": plugins})
