"""What is to be at work in a test: plugins, each under a name, with its configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from crust.host.registration import Refused, Wanted, checked
from crust.plugin import Plugin
from crust.settings import PluginInstance


class PluginRefused(Exception):
    """A plugin that cannot be at work, for reasons that `crust plugins check` would give: `problems`, a line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Instance:
    """A plugin at work, as a table `[plugins.<name>]` makes it.

    `name` is the class's in small letters, if left out; its bot is called so. `config` is what `[plugins.<name>.config]` has; the other
    fields are those of the settings.
    """

    plugin: type[Plugin[Any]]
    config: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    on_error: Literal["allow", "reject"] = "allow"
    organisations: Sequence[str] = ()

    def checked(self) -> Wanted | Refused:
        """As the host has it, if it can be at work."""
        kind = self.plugin.__name__.lower()
        settings = PluginInstance(on_error=self.on_error, organisations=list(self.organisations), config=dict(self.config))
        return checked(self.name or kind, settings, kind, self.plugin)


def problems(plugin: type[Plugin[Any]], config: Mapping[str, Any] | None = None) -> list[str]:
    """What `crust plugins check` would say of a plugin with this configuration; nothing, if it can be at work."""
    found = Instance(plugin, config or {}).checked()
    return list(found.problems) if isinstance(found, Refused) else []


def wanted(instances: Sequence[Instance | type[Plugin[Any]]]) -> list[Wanted]:
    """All of them, as the host has them.

    Raises:
        PluginRefused: one cannot be at work.
        ValueError: two have one name.
    """
    found = [(each if isinstance(each, Instance) else Instance(each)).checked() for each in instances]
    if refused := [problem for each in found if isinstance(each, Refused) for problem in each.problems]:
        raise PluginRefused(refused)
    if len({each.name for each in found}) < len(found):
        raise ValueError("Two instances have one name: give one of them another, Instance(…, name=…).")
    return [each for each in found if isinstance(each, Wanted)]
