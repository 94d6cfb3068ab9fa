"""`crust plugins`: which plugins there are, what is configured, and whether it can be at work."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyclopts import App

from crust.cli.common import Config, Json, core, print_json, print_rows
from crust.errors import NotFound
from crust.host.kinds import CannotLoad, kinds
from crust.host.registration import HOOKS, Wanted, implemented, registered
from crust.host.states import LEASE, STATES, states_of
from crust.plugin import CAPABILITIES, Plugin
from crust.runtime import Node
from crust.settings import Settings, load

app = App(name="plugins", help="What plugins there are and how they are: list, show, check.")

Shown = dict[str, Any]
STOPPED: Shown = {"state": "stopped", "reason": None, "node": None, "since": None}
UNLEASED = ("waiting", "refused")  # states in which an instance lives nowhere
COLUMNS = ["name", "plugin", "state", "reason"]


@app.command(name="list")
async def list_(*, json: Json = False, config: Config = None) -> None:
    """Every instance that is configured, with its state, and the plugins that are there besides."""
    async with core(config) as node:
        lives = await lives_of(node)
    print_rows(listed(node.settings, lives), COLUMNS, json=json)


async def lives_of(node: Node) -> Mapping[str, Shown]:
    """What the instances were said to be last: of those whose process is gone, that they are stopped."""
    held = {name.removeprefix(LEASE) for name, row in (await node.leases.all()).items() if name.startswith(LEASE) and row["held"]}
    documents = await states_of(node.database, node.clock).collection(STATES).find(limit=1000)
    return {each.key: dict(each.body) if each.key in held or each.body["state"] in UNLEASED else STOPPED for each in documents}


def listed(settings: Settings, lives: Mapping[str, Shown]) -> list[Shown]:
    wanted, refused = registered(settings, disabled=True)
    states = {each.name: lives.get(each.name, STOPPED) if each.settings.enabled else _state("disabled", None) for each in wanted}
    states |= {each.name: _state("refused", "; ".join(each.problems)) for each in refused}
    used = [{"name": name, "plugin": each.use or name, **states[name]} for name, each in settings.plugins.items()]
    there = kinds(settings.plugins_dir).keys() - {each["plugin"] for each in used}
    return [*used, *({"name": None, "plugin": kind, **_state("not configured", None)} for kind in sorted(there))]


def _state(state: str, reason: str | None) -> Shown:
    return {"state": state, "reason": reason, "node": None, "since": None}


@app.command
def show(name: str, *, json: Json = False, config: Config = None) -> None:
    """A plugin, or an instance of it: what it does, what it may see and do, and how it is configured."""
    settings = load(config)
    wanted, refused = registered(settings, disabled=True)
    if found := [each for each in refused if each.name == name]:
        raise NotFound(f"{name} cannot be at work: {'; '.join(found[0].problems)}")
    instance = next((each for each in wanted if each.name == name), None)
    description = described(instance.plugin if instance else _loaded(name, settings), instance)
    if json:
        print_json(description)
    else:
        _print(description)


def _loaded(kind: str, settings: Settings) -> type[Plugin[Any]]:
    there = kinds(settings.plugins_dir)
    if kind not in there:
        raise NotFound(f"There is neither an instance nor a plugin {kind}.")
    try:
        return there[kind].load()
    except CannotLoad as error:
        raise NotFound(f"The plugin {kind} cannot be shown: {error}") from None


def described(plugin: type[Plugin[Any]], instance: Wanted | None) -> dict[str, Any]:
    """A plugin in words; of an instance with the values in force, of which secret ones are masked."""
    values = instance.config.model_dump(mode="json") if instance else {}
    return {
        "about": inspect.getdoc(plugin) or "",
        "api": getattr(plugin, "api", None),
        "capabilities": {name: CAPABILITIES.get(name, "unknown") for name in sorted(plugin.capabilities)},
        "hooks": {name: (inspect.getdoc(HOOKS[name]) or "").partition("\n")[0] for name in sorted(implemented(plugin) & HOOKS.keys())},
        "config": {
            name: {
                "description": field.description or "",
                "required": field.is_required(),
                "default": None if field.is_required() else repr(field.get_default(call_default_factory=True)),
                **({"value": values[name]} if instance else {}),
            }
            for name, field in plugin.config_model.model_fields.items()
        },
    }


def _print(description: dict[str, Any]) -> None:
    print(description["about"])
    for title, part in (("it may", "capabilities"), ("it implements", "hooks")):
        print(f"\n{title}:")
        for name, meaning in description[part].items():
            print(f"  {name:22} {meaning}")
    print("\nits settings:" if description["config"] else "\nit has no settings of its own")
    for name, field in description["config"].items():
        now = f"is {field['value']!r}" if "value" in field else "has to be set" if field["required"] else f"by default {field['default']}"
        print(f"  {name:22} {field['description']} ({now})")


@app.command
def check(*, config: Config = None) -> None:
    """Say whether every enabled instance can be at work; if not, all that is wrong, and what to do."""
    problems = problems_in(config)
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    print("the plugins are good")


def problems_in(config: Path | None) -> list[str]:
    """What is wrong, a line each."""
    from crust.host.offers import unmakeable  # with what plugins may need, which other commands do without

    wanted, refused = registered(load(config))
    return [problem for each in (*refused, *unmakeable(wanted)) for problem in each.problems]
