"""config.example.toml, made from the tree."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from pydantic.fields import FieldInfo

from crust.settings.tree import PLUGINS, PluginInstance, Settings, section_of


def example_toml() -> str:
    """The text of config.example.toml: every setting with its default, commented out."""
    lines = [
        "# Every setting of Crust with its default. Copy this file to config.toml and uncomment what you change.",
        "# Each can be set as an environment variable too, which then wins: CRUST_PORT, CRUST_LIMITS__ENABLED.",
        "# Lists are separated by commas there.",
    ]
    for name, field in Settings.model_fields.items():
        if name == PLUGINS:
            continue
        if section := section_of(field):
            lines += ["", *_comment(section.__doc__ or ""), f"[{name}]"]
            lines += [line for key, inner in section.model_fields.items() for line in _example(key, inner)]
        else:
            lines += _example(name, field)
    lines += ["", *_comment(PluginInstance.__doc__ or ""), f"# [{PLUGINS}.welcome]"]
    lines += [line.replace("#", "# ", 1) if line[1:2] != " " else line for line in _instance()]
    return "\n".join(lines) + "\n"


def _instance() -> list[str]:
    return [line for key, inner in PluginInstance.model_fields.items() for line in _example(key, inner) if line]


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 118)]


def _example(name: str, field: FieldInfo) -> list[str]:
    default = field.get_default(call_default_factory=True)
    text = json.dumps(str(default) if isinstance(default, Path) else default)
    return ["", *_comment(field.description or ""), f"#{name} = {text}"]
