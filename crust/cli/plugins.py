"""`crust plugins`: which plugins there are, what is configured, and whether it can be at work."""

from __future__ import annotations

import asyncio
import inspect
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from crust.cli.common import Config, Json, configured, core, print_json, print_rows
from crust.errors import Conflict, NotFound
from crust.host.chain import FilterChain
from crust.host.kinds import CannotLoad, kinds
from crust.host.registration import HOOKS, Wanted, implemented, problems_of, registered
from crust.host.roster import STOPPED, UNLEASED, Shown, listed, lives_of
from crust.host.states import RESTARTS, states_of
from crust.plugin import CAPABILITIES, Plugin
from crust.runtime import Node, hosting, opened
from crust.settings import Settings, load

app = App(name="plugins", help="What plugins there are and how they are: list, show, check, new, docs, restart, run.")

COLUMNS = ["name", "plugin", "state", "reason"]
AUTH = {"user": "for whoever is signed in", "public": "for everybody"}
PARTS = {
    "capabilities": "it may", "hooks": "it implements", "commands": "its slash commands", "routes": "it answers over HTTP",
    "jobs": "it does at set times", "subcommands": "for operators",
}  # fmt: skip
RESTART_S, LOOK_S = 20.0, 0.25  # for an instance to begin again, and between two looks


@app.command(name="list")
async def list_(*, json: Json = False, config: Config = None) -> None:
    """Every instance that is configured, with its state, and the plugins that are there besides."""
    async with core(config) as node:
        lives = await lives_of(node.database, node.leases, node.clock)
    print_rows(listed(node.settings, registered(node.settings, disabled=True), lives), COLUMNS, json=json)


@app.command
def show(name: str, *, json: Json = False, config: Config = None) -> None:
    """A plugin, or an instance of it: what it does, what it may see and do, and how it is configured."""
    settings = load(config)
    wanted, refused = registered(settings, disabled=True)
    if found := [each for each in refused if each.name == name]:
        raise NotFound(f"{name} cannot be at work: {'; '.join(found[0].problems)}")
    instance = next((each for each in wanted if each.name == name), None)
    description = described(instance.plugin if instance else _loaded(name, settings), instance)
    if instance:
        description |= offered(instance)
    if json:
        print_json(description)
    else:
        _print(description)


def _loaded(kind: str, settings: Settings) -> type[Plugin[Any]]:
    there = kinds(settings.plugins_dir)
    if kind not in there:
        raise NotFound(f"There is neither an instance nor a plugin {kind}.")
    try:
        plugin = there[kind].load()
    except CannotLoad as error:
        raise NotFound(f"The plugin {kind} cannot be shown: {error}") from None
    if problems := problems_of(plugin):
        raise NotFound(f"The plugin {kind} cannot be shown: {'; '.join(problems)}")
    return plugin


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


def offered(wanted: Wanted) -> dict[str, dict[str, str]]:
    """What an instance offers, in words.

    Raises:
        NotFound: it cannot be made.
    """
    from crust.host.offers import Unmade, rehearsed  # with what plugins may need, which other commands do without

    try:
        _, offers = rehearsed(wanted)
    except Unmade as error:
        raise NotFound(f"{wanted.name} cannot be at work: {error}") from None
    under = wanted.plugin.prefix or f"/plugins/{wanted.name}"
    return {
        "commands": {command.usage(command.name): command.help for command in offers.commands},
        "routes": {f"{route.method} {under}{route.path}": AUTH[route.auth] for route in offers.routes},
        "jobs": {planned.name: str(planned.timetable) for planned in offers.jobs},
        "subcommands": {f"crust plugins run {wanted.name} {each.name}": each.help for each in offers.subcommands},
    }


def _print(description: dict[str, Any]) -> None:
    print(description["about"])
    for part, title in PARTS.items():
        if description.get(part):
            print(f"\n{title}:")
        for name, meaning in description.get(part, {}).items():
            print(f"  {name:22} {meaning}")
    print("\nits settings:" if description["config"] else "\nit has no settings of its own")
    for name, field in description["config"].items():
        now = f"is {field['value']!r}" if "value" in field else "has to be set" if field["required"] else f"by default {field['default']}"
        print(f"  {name:22} {field['description']} ({now})")


@app.command
async def check(*, config: Config = None) -> None:
    """Say whether every enabled instance can be at work, and what links it names can be; if not, all that is wrong, and what to do."""
    problems = await problems_in(config)
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    print("the plugins are good")


async def problems_in(config: Path | None) -> list[str]:
    """What is wrong, a line each. The database is asked only where organisations or links are named: whether there are such ones."""
    from crust.host.offers import unmakeable  # with what plugins may need, which other commands do without

    wanted, refused = registered(load(config))
    unmade = list(unmakeable(wanted))
    left = [each for each in wanted if each.name not in {one.name for one in unmade}]
    problems = [problem for each in (*refused, *unmade) for problem in each.problems]
    if any(each.settings.links or each.settings.organisations for each in left):
        async with core(config) as node:
            for each in left:
                problems += [*await _unknown(each, node), *(await _unlinkable(each, node) if each.settings.links else ())]
    return problems


async def _unknown(wanted: Wanted, node: Node) -> list[str]:
    from crust.host.instance import places_of

    named = wanted.settings.organisations
    return [f"plugins.{wanted.name}.organisations: {each}" for each in (await places_of(node.core, named))[1]] if named else []


async def _unlinkable(wanted: Wanted, node: Node) -> list[str]:
    from crust.host.linking import unlinkable
    from crust.host.offers import rehearsed
    from crust.plugin import Bridge

    plugin = rehearsed(wanted)[0]
    if isinstance(plugin, Bridge):
        return [*await unlinkable(node.core, wanted, plugin)]
    return [f"plugins.{wanted.name}.links: {wanted.kind} is no bridge, and links nothing: take them out"]


@app.command
def new(
    name: str,
    *,
    folder: Annotated[Path, Parameter(help="Where the package's folder is made.")] = Path(),
    bridge: Annotated[bool, Parameter(help="A bridge to another network.", negative="")] = False,
    config: Config = None,
) -> None:
    """Make a package with a small plugin, its configuration and a test, to begin from."""
    from crust.cli.making import make  # with templates, which other commands do without

    for path in make(name, folder, "bridge" if bridge else "plugin", kinds(load(config).plugins_dir)):
        print(path)
    root = folder / f"crust-{name.replace('_', '-')}"
    print(f"Next: pip install -e {root}, then pytest {root}; then a table [plugins.{name}] in config.toml, and crust plugins check")


@app.command
def docs(file: Path | None = None, /) -> None:
    """Print the reference of all hooks, capabilities and interfaces; or put it between the two marks in a file."""
    from crust.cli.reference import put_into, reference  # with what only authors need

    if file is None:
        print(reference())
    else:
        print(f"{file} was {'changed' if put_into(file) else 'up to date'}")


@app.command
async def restart(name: str, *, config: Config = None) -> None:
    """Let an instance begin again, in the process where it lives; one that has failed, too."""
    async with core(config) as node:
        own = node.settings.plugins.get(name)
        if own is None or not own.enabled:
            raise NotFound(f"There is no enabled instance {name}.")
        lives = (await lives_of(node.database, node.leases, node.clock)).get(name, STOPPED)
        if lives["node"] is None or lives["state"] in UNLEASED:
            raise Conflict(f"{name} is {lives['state']} and lives nowhere: {lives['reason'] or 'start crust serve, or crust worker'}.")
        await states_of(node.database, node.clock).collection(RESTARTS).put(name, {"at": node.clock.now()})
        print(await _begun(node, name, lives))


async def _begun(node: Node, name: str, before: Shown) -> str:
    """What became of it, in words."""
    for _ in range(round(RESTART_S / LOOK_S)):
        await asyncio.sleep(LOOK_S)
        now = (await lives_of(node.database, node.leases, node.clock)).get(name, STOPPED)
        if now.get("life") != before.get("life") and now["state"] not in ("restarting", "starting"):
            return f"{name} has begun again on {now['node']}: {now['state']}{': ' + now['reason'] if now['reason'] else ''}"
    return f"{name} was asked to begin again, and has not done so within {RESTART_S:g} s: see crust plugins list"


@app.command
async def run(name: str, /, *words: Annotated[str, Parameter(allow_leading_hyphen=True)], config: Config = None) -> None:
    """Run a subcommand that an instance offers; without one, say which there are."""
    settings = configured(config)
    wanted, refused = registered(settings)
    if found := [each for each in refused if each.name == name]:
        raise NotFound(f"{name} cannot be at work: {'; '.join(found[0].problems)}")
    own = next((each for each in wanted if each.name == name), None)
    if own is None:
        raise NotFound(f"There is no enabled instance {name}.")
    async with opened(settings) as node, hosting(node, [own], FilterChain(node.clock), "serve", strict=True) as hosted:
        subcommands = App(name=f"crust plugins run {name}", help=inspect.getdoc(own.plugin) or "", help_flags=[], version_flags=[])
        for each in hosted.offers[name].subcommands:
            subcommands.command(each.subcommand, name=each.name, help=each.help)
        if not words:
            subcommands.help_print([])
            return
        command, bound, _ = subcommands.parse_args(list(words))
        said = await command(*bound.args, **bound.kwargs)
        if said is not None:
            print(said) if isinstance(said, str) else print_json(said)
