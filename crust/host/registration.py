"""What the settings want to be at work, and whether it can be. Nothing runs here.

    wanted, refused = registered(settings)

Whatever is wrong with an instance refuses that instance, by its name and with what to do; the others are none the worse.
"""

from __future__ import annotations

import difflib
import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from pydantic import ValidationError

from crust.host.kinds import CannotLoad, Kind, kinds
from crust.host.store import NAME
from crust.plugin import API, CAPABILITIES, Plugin, PluginConfig
from crust.plugin.hooks import SPECS
from crust.settings import PluginInstance, Settings

FAMILIES = ("on_", "filter_", "register_")
OUTWARD = ("send_", "link_")
PREFIX = re.compile(r"/[a-z][a-z0-9-]{0,31}")
TAKEN = frozenset(
    {"bridge", "bridges", "channel", "command", "docs", "file", "health", "invitation", "invite", "message", "metrics", "organisation"}
    | {"plugin", "plugins", "public", "server", "setup", "static", "team", "user", "web", "websocket"}
)
"""What the server's own paths begin with, now or as it is planned."""
MARK = "crust_impl"  # what `hookimpl` leaves on a function
HOOKS: Mapping[str, Callable[..., Any]] = {
    name: function for spec in SPECS for name, function in vars(spec).items() if isinstance(function, FunctionType)
}
"""Every hook's specification, by name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An instance that can be: its name, settings, plugin and configuration. `hooks` are those that it implements."""

    name: str
    settings: PluginInstance
    kind: str
    plugin: type[Plugin[Any]]
    config: PluginConfig
    hooks: frozenset[str]


@dataclass(frozen=True, slots=True)
class Refused:
    """An instance that cannot be, and why: each problem begins with the place that it is to be mended in."""

    name: str
    kind: str
    problems: tuple[str, ...]


def registered(settings: Settings, *, disabled: bool = False) -> tuple[list[Wanted], list[Refused]]:
    """Everything that is configured and enabled, in the order of the settings.

    Args:
        disabled: what is not enabled, too.
    """
    there = kinds(settings.plugins_dir) if settings.plugins else {}  # who has none does not pay for a look through what is installed
    wanted: list[Wanted] = []
    refused: list[Refused] = []
    for name, instance in settings.plugins.items():
        if instance.enabled or disabled:
            one = _registered(name, instance, there)
            wanted.append(one) if isinstance(one, Wanted) else refused.append(one)
    return wanted, refused


def _registered(name: str, instance: PluginInstance, there: Mapping[str, Kind]) -> Wanted | Refused:
    kind = instance.use or name
    if kind not in there:
        listed = ", ".join(there) or "none"
        return Refused(name, kind, (f"plugins.{name}.use: there is no plugin {kind!r}{meant(kind, there)}; there are: {listed}",))
    try:
        plugin = there[kind].load()
    except CannotLoad as error:
        return Refused(name, kind, (f"plugins.{name}: the plugin {kind} is left out: {error}",))
    return checked(name, instance, kind, plugin)


def checked(name: str, instance: PluginInstance, kind: str, plugin: type[Plugin[Any]]) -> Wanted | Refused:
    """An instance of a class, if the class is a plugin and the configuration is one for it."""
    try:
        if problems := [f"plugins.{name}: the plugin {kind} is left out: {problem}" for problem in problems_of(plugin)]:
            return Refused(name, kind, tuple(problems))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the boundary: a class can be anything
        return Refused(name, kind, (f"plugins.{name}: the plugin {kind} is left out: looking at its class raised {raised(error)}",))
    try:
        config = plugin.config_model.model_validate(instance.config)
    except ValidationError as error:
        return Refused(name, kind, tuple(_config_problems(name, plugin.config_model, error)))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the boundary: a validator is a plugin's code
        return Refused(name, kind, (f"plugins.{name}.config: the plugin could not look at it: a validator raised {raised(error)}",))
    return Wanted(name, instance, kind, plugin, config, implemented(plugin))


def raised(error: BaseException) -> str:
    """An error in words: its kind and its place, and not its text, which may have a secret in it."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {place.filename}, line {place.lineno}"


def _config_problems(name: str, model: type[PluginConfig], error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False):  # what was given may be a secret
        path = ".".join(["plugins", name, "config", *map(str, detail["loc"])])
        if detail["type"] == "extra_forbidden":
            yield f"{path}: no such setting{meant(str(detail['loc'][-1]), model.model_fields)}"
        elif detail["type"] == "missing":
            yield f"{path}: has to be set"
        else:
            yield f"{path}: {detail['msg'].removeprefix('Value error, ').replace('Input should be', 'should be')}"


def meant(word: str, among: Iterable[str]) -> str:
    """The nearest right word, as the end of a sentence; nothing, if none is near."""
    close = difflib.get_close_matches(word, list(among), n=1)
    return f"; is {close[0]} meant?" if close else ""


# ---- a class


def problems_of(plugin: type[Plugin[Any]]) -> list[str]:
    """What keeps a class from being a plugin of this Crust."""
    problems = [*problems_of_generation(plugin), *problems_of_capabilities(plugin), *problems_of_collections(plugin)]
    model: Any = plugin.config_model  # an author's type checker would have said so
    if not (isinstance(model, type) and issubclass(model, PluginConfig)):
        problems.append("its configuration has to derive from crust.plugin.PluginConfig")
    problems += problems_of_prefix(plugin)
    for name in sorted(dir(plugin)):
        problems += problems_of_hook(name, inspect.getattr_static(plugin, name))
    return problems


def problems_of_generation(plugin: type[Plugin[Any]]) -> Iterator[str]:
    """What is wrong with the generation of the interface that a class is for."""
    generation = getattr(plugin, "api", None)
    if generation is None:
        yield "it does not say which generation of the interface it is for: add `api = 1` to its class"
    elif generation != API:
        yield f"it is for generation {generation} of the interface, and this Crust has {API}: install the versions that fit"


def problems_of_capabilities(plugin: type[Plugin[Any]]) -> Iterator[str]:
    """What is wrong with what a class declares that it sees and does."""
    capabilities: Any = plugin.capabilities  # an author's type checker would have said so
    if not isinstance(capabilities, AbstractSet) or not all(isinstance(each, str) for each in capabilities):
        yield f"its capabilities have to be a set of texts, such as {{'read:public'}}, and not {capabilities!r:.80}"
        return
    for capability in sorted(capabilities - CAPABILITIES.keys()):
        yield f"there is no capability {capability!r}{meant(capability, CAPABILITIES)}"
    if "filter_sign_in" in implemented(plugin) and "sign-in:filter" not in capabilities:
        yield "filter_sign_in takes the capability sign-in:filter"


def problems_of_collections(plugin: type[Plugin[Any]]) -> Iterator[str]:
    """What is wrong with the collections of documents that a class declares."""
    collections: Any = plugin.collections  # an author's type checker would have said so
    if not isinstance(collections, Mapping):
        yield f"its collections have to be a dictionary of names and fields, such as {{'polls': ['due']}}, and not {collections!r:.80}"
        return
    for name, fields in collections.items():
        if not isinstance(fields, list | tuple):
            yield f"its collection {name!r} has to have a list of fields, such as ['due'], and not {fields!r:.80}"
            continue
        for each in (name, *fields):
            if not isinstance(each, str) or not NAME.fullmatch(each):
                yield f"{each!r:.80} is no name for a collection or field: small letters, digits, dots, - and _, 64 at most"


def problems_of_prefix(plugin: type[Plugin[Any]]) -> Iterator[str]:
    """What is wrong with the path that a class claims for its routes, if it claims one."""
    prefix: Any = plugin.prefix  # an author's type checker would have said so
    if prefix == "":
        return
    if not isinstance(prefix, str) or not PREFIX.fullmatch(prefix):
        yield f"its prefix {prefix!r} has to be / and a word of small letters, digits and -"
    elif prefix.removeprefix("/") in TAKEN:
        yield f"its prefix {prefix} is the server's own: claim another"
    if "register_routes" not in implemented(plugin):
        yield "it claims a prefix, and has no register_routes"


def problems_of_hook(name: str, value: Any) -> Iterator[str]:
    """What is wrong with one attribute, if it is a hook or seems to be meant as one."""
    options = getattr(value, MARK, None) or getattr(getattr(value, "__func__", None), MARK, None)
    if options is None:
        if name in HOOKS or (isinstance(value, FunctionType) and seems_a_hook(name)):
            yield f"{name} is not marked with @hookimpl"
        return
    if name not in HOOKS or options.get("specname"):
        yield f"there is no hook {options.get('specname') or name}{meant(name, HOOKS)}"
    elif not isinstance(value, FunctionType):
        yield f"{name} has to be a method, and is a {type(value).__name__}"
    elif options.get("wrapper") or options.get("hookwrapper"):
        yield f"{name} is a wrapper, which the host does not have"
    else:
        yield from problems_of_signature(name, value)


def seems_a_hook(name: str) -> bool:
    """Whether a method that is not marked was meant as a hook: bridges have methods of their own that send something."""
    return name.startswith(FAMILIES) or (name.startswith(OUTWARD) and bool(meant(name, HOOKS)))


def problems_of_signature(name: str, function: FunctionType) -> Iterator[str]:
    """What is wrong with the colour and the arguments of a hook. One that passes on whatever it is given takes all."""
    wants = inspect.iscoroutinefunction(HOOKS[name])
    if inspect.iscoroutinefunction(function) != wants:
        yield f"{name} has to be {'`async def`' if wants else 'a plain `def`'}"
    known = list(inspect.signature(HOOKS[name]).parameters)
    parameters = [
        each for each in inspect.signature(function).parameters.values() if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    for each in parameters[1:]:
        if each.name not in known:
            yield f"{name} has no argument {each.name!r}; it is called with {', '.join(known[1:]) or 'none'}"
        elif each.kind is each.KEYWORD_ONLY:
            yield f"{name} has to take {each.name!r} by its place: write it before the *"


def functions(plugin: type[Plugin[Any]]) -> dict[str, Callable[..., Any]]:
    """The methods of a class, inherited ones included."""
    found = ((name, inspect.getattr_static(plugin, name)) for name in dir(plugin) if not name.startswith("__"))
    return {name: value for name, value in found if isinstance(value, FunctionType)}


def implemented(plugin: type[Plugin[Any]]) -> frozenset[str]:
    """The hooks that a class implements."""
    return frozenset(name for name, function in functions(plugin).items() if hasattr(function, MARK))
