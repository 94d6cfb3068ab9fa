"""What the READMEs of the plugins and bridges say of their settings is what the settings are."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

from crust.host.offers import unmakeable
from crust.host.registration import registered
from crust.plugin import Plugin
from crust.settings import Settings
from tests.support.plugins import instance, with_plugins

ROOT = Path(__file__).parents[2]
FOLDERS = {path.name.removeprefix("crust_"): path.parent for kind in ("plugins", "bridges") for path in (ROOT / kind).glob("crust_*")}
NAMES = sorted(FOLDERS)
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", re.MULTILINE)


def plugin(name: str) -> type[Plugin]:  # type: ignore[type-arg]  # of any configuration
    module = importlib.import_module(f"crust_{name}")
    [found] = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Plugin)]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_readme_describes_every_setting(name: str) -> None:
    """By name, with its default and its description, in their order; and it names every capability."""
    readme, kind = (FOLDERS[name] / f"crust_{name}" / "README.md").read_text(), plugin(name)
    said = [(field, default.strip("`"), meaning.replace("`", "")) for field, default, meaning in ROW.findall(readme)]
    fields = kind.config_model.model_fields
    assert said == [
        (field, "has to be set" if info.is_required() else json.dumps(info.default), info.description) for field, info in fields.items()
    ]
    assert not {each for each in kind.capabilities if f"`{each}`" not in readme}


NEEDED = {"audit": {"path": "audit.jsonl"}, "wordfilter": {"words": ["darn"]}}


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_can_be_checked(name: str) -> None:
    """With nothing set that need not be, `crust plugins check` has nothing to say: it is made without doing anything."""
    wanted, refused = registered(with_plugins(Settings(), FOLDERS[name], it=instance(name, config=NEEDED.get(name, {}))))
    assert [*refused, *unmakeable(wanted)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_is_announced(name: str) -> None:
    """In the wheel, and in both lists."""
    project = (ROOT / "pyproject.toml").read_text()
    assert f'{name} = "crust_{name}:{plugin(name).__name__}"\n' in project
    assert f'"{FOLDERS[name].name}/crust_{name}"' in project
    assert f"(crust_{name}/README.md)" in (FOLDERS[name] / "README.md").read_text()
    assert f"`{name}`" in (ROOT / "README.md").read_text()
