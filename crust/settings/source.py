"""Where settings come from: a file, the environment, a command line; and what is said of those that cannot be used."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from crust.settings.tree import PLUGINS, PluginInstance, Settings, leaves, section_of

ENV_PREFIX = "CRUST_"
NOT_SETTINGS = re.compile(r"CRUST_(CONFIG$|TEST_)")  # variables that are ours but no settings
WHOLLY_SECRET = {"metrics.token", "files.secret_access_key"}
SECRET = {"database_url", "broker_url"} | WHOLLY_SECRET  # what is not shown even when it is wrong
USER_INFO_PASSWORD = re.compile(r"(://[^:/@]*:).*@")  # up to the last @: rather too much masked than too little
QUERY_PASSWORD = re.compile(r"([?&]password=)[^&]*")


class SettingsError(Exception):
    """Settings that cannot be used; its text lists all that is wrong, a line each.

    Args:
        problems: `where: what was expected`, one for each.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(["These settings cannot be used:", *(f"  - {problem}" for problem in problems)]))


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it is in force.

    `value` is as it would stand in the file, but for a secret inside, which reads `***`. `source` is `default`, `file`, `environment`
    or `option`.
    """

    path: str
    value: Any
    source: str


def load(config: Path | None = None, **options: object) -> Settings:
    """The settings in force.

    Args:
        config: the TOML file; None takes what `CRUST_CONFIG` names, else ./config.toml if it is there.
        options: top-level settings that a command line gave; those that are None were not given.

    Raises:
        SettingsError: something is wrong; its text lists everything that is, by TOML path, variable or option.
    """
    return _merge(_sources(config, options))


def explain(config: Path | None = None, **options: object) -> list[Effective]:
    """Every setting with where it came from, secrets masked. Arguments and errors are those of `load`."""
    sources = _sources(config, options)
    settings = _merge(sources)
    origins = {path: source.name for source in sources for path in source.paths()}
    of_plugins = [Effective(path, value, "file") for path, value in _of_plugins(settings)]
    return [Effective(path, _shown(path, _get(settings, path)), origins.get(path, "default")) for path, _ in leaves()] + of_plugins


def _of_plugins(settings: Settings) -> Iterator[tuple[str, Any]]:
    """What stands in the tables of plugins. Their own settings may be secrets, of which only the plugin knows."""
    for name, instance in settings.plugins.items():
        for key in sorted(instance.model_fields_set - {"config"}):
            yield f"{PLUGINS}.{name}.{key}", getattr(instance, key)
        for key in instance.config:
            yield f"{PLUGINS}.{name}.config.{key}", "***"


@dataclass(frozen=True, slots=True)
class _Source:
    """Where settings come from, and what it says, in the shape of the tree."""

    name: str
    tree: Mapping[str, Any]

    def paths(self) -> Iterator[str]:
        for key, value in self.tree.items():
            yield from (f"{key}.{inner}" for inner in value) if isinstance(value, dict) else (key,)

    def label(self, location: tuple[int | str, ...]) -> str:
        keys = [part for part in location if isinstance(part, str) and part != "[key]"]
        if self.name == "environment":
            return ENV_PREFIX + "__".join(keys).upper()
        if self.name == "option":
            return "--" + "-".join(keys).replace("_", "-")
        return ".".join(keys) + "".join(f"[{part}]" for part in location if isinstance(part, int))

    def problems(self) -> list[str]:
        try:
            Settings.model_validate(self.tree)
        except ValidationError as error:
            return [f"{self.label(detail['loc'])}: {_expected(detail)}" for detail in error.errors()]
        return []


def _sources(config: Path | None, options: Mapping[str, object]) -> list[_Source]:
    """All sources, the weakest first. Each must be right by itself, also where a stronger one says otherwise."""
    return [
        _Source("file", _file(config)),
        _Source("environment", _environment()),
        _Source("option", {key: value for key, value in options.items() if value is not None}),
    ]


def _file(config: Path | None) -> dict[str, Any]:
    named = config or os.environ.get("CRUST_CONFIG")
    path = Path(named or "config.toml")
    if not named and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # ValueError: no TOML, or no UTF-8
        raise SettingsError([f"{path}: {error.strerror if isinstance(error, OSError) else error}"]) from None


def _environment() -> dict[str, Any]:
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict  # 0.15 s: only once settings are read

    class Environment(Settings, BaseSettings):
        model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__", enable_decoding=False)

    return _unknown_variables() | EnvSettingsSource(Environment)()


def _unknown_variables() -> dict[str, Any]:
    """Variables that look like settings and are none, which pydantic-settings would pass over."""
    ours = (name for name in os.environ if name.startswith(ENV_PREFIX) and not NOT_SETTINGS.match(name))
    keys = (name.removeprefix(ENV_PREFIX).lower() for name in ours)
    return {key: "" for key in keys if key not in Settings.model_fields and not _is_in_section(key)}


def _is_in_section(key: str) -> bool:
    section, delimiter, _ = key.partition("__")
    return bool(delimiter) and section in Settings.model_fields and section_of(Settings.model_fields[section]) is not None


def _merge(sources: list[_Source]) -> Settings:
    if problems := [problem for source in sources for problem in source.problems()]:
        raise SettingsError(problems)
    merged: dict[str, Any] = {}
    for source in sources:
        for key, value in source.tree.items():
            merged[key] = merged.get(key, {}) | value if isinstance(value, dict) else value
    settings = Settings.model_validate(merged)
    if problems := list(_contradictions(settings)):
        raise SettingsError(problems)
    return settings


def _contradictions(settings: Settings) -> Iterator[str]:
    """What is wrong only taken together."""
    for smaller, larger in (
        ("database.idle_in_transaction_timeout_s", "database.lock_timeout_s"),
        ("websocket.ping_interval_s", "websocket.silence_s"),
    ):
        if _get(settings, smaller) >= _get(settings, larger):
            yield f"{smaller}: should be below {larger}, {_get(settings, larger)}, but is {_get(settings, smaller)}"
    if settings.passwords.memory_kib < 8 * settings.passwords.parallelism:
        yield f"passwords.memory_kib: should be at least 8 times passwords.parallelism, but is {settings.passwords.memory_kib}"


def _expected(detail: Any) -> str:
    """What one of pydantic's errors means, in our words."""
    kind, location, given = detail["type"], detail["loc"], detail["input"]
    if kind == "extra_forbidden":
        return _no_such_setting(location)
    plain = {"model_type": "should be a table", "path_type": "should be a path"}
    message = plain.get(kind) or detail["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    is_secret = ".".join(map(str, location)) in SECRET
    return message if is_secret or isinstance(given, dict) else f"{message}, but is {given!r}"


def _no_such_setting(location: tuple[int | str, ...]) -> str:
    paths = [path for path, _ in leaves()]
    if location[0] == PLUGINS:
        paths = [f"{PLUGINS}.{location[1]}.{key}" for key in PluginInstance.model_fields]
    close = difflib.get_close_matches(".".join(map(str, location)).replace("__", "."), paths, n=1)
    return "no such setting" + (f"; is {close[0]} meant?" if close else "")


def _get(settings: Settings, path: str) -> Any:
    value: Any = settings
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _shown(path: str, value: Any) -> Any:
    if not isinstance(value, str | Path):
        return value
    if path in WHOLLY_SECRET:
        return "***" if value else value
    return QUERY_PASSWORD.sub(r"\1***", USER_INFO_PASSWORD.sub(r"\1***@", str(value)))
