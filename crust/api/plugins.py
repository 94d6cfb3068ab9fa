"""`/plugin/…`: the instances of plugins, for the server's administrators."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

from msgspec import Meta, Struct

from crust.api.calls import Context, Page, Registry
from crust.api.lists import Listed
from crust.clock import rfc3339_or_none
from crust.host.registration import Refused, Wanted, registered
from crust.host.roster import Shown, listed, lives_of
from crust.log import Leases
from crust.services.core import Core
from crust.services.names import NAME_MAX
from crust.services.rights import may_administer

FIRST = 1000  # the first one's place: whoever walks a list may begin with `after=1`


class ViewedPlugin(Struct, frozen=True, kw_only=True):
    """An instance. `id` is its place in the list; `plugin` says which it is one of, `state` how it is, `reason` why, `node` where it lives.

    `commands` are the names of the slash commands that it offers in the process that answers.
    """

    id: str
    name: str
    plugin: str
    enabled: bool
    state: str
    reason: str | None
    node: str | None
    since: str | None
    organisations: tuple[str, ...]
    capabilities: tuple[str, ...]
    hooks: tuple[str, ...]
    commands: tuple[str, ...]


class PluginSearch(Listed, kw_only=True):
    query: Annotated[str, Meta(max_length=NAME_MAX, description="What its name begins with.")] = ""


class PluginCalls:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @cached_property
    def _registered(self) -> tuple[list[Wanted], list[Refused]]:
        """What the settings want: read once, as a process keeps the code that it has loaded."""
        return registered(self._core.settings, disabled=True)

    async def search(self, context: Context, params: PluginSearch) -> Page[ViewedPlugin]:
        """The instances of plugins, by name, with their states; for the server's administrators."""
        may_administer(is_admin=context.caller.is_admin)
        core = self._core
        lives = await lives_of(core.database, Leases(core.database, ""), core.clock)
        rows = sorted((row for row in listed(core.settings, self._registered, lives) if row["name"]), key=lambda row: str(row["name"]))
        viewed = [self._viewed(rank, row) for rank, row in enumerate(rows, FIRST)]
        found = params.part.of([each for each in viewed if each.name.startswith(params.query.strip().lower())])
        return Page.of(found, params.limit)

    def _viewed(self, rank: int, row: Shown) -> ViewedPlugin:
        wanted = next((each for each in self._registered[0] if each.name == row["name"]), None)
        own: Any = self._core.settings.plugins[row["name"]]
        return ViewedPlugin(
            id=str(rank), name=row["name"], plugin=row["plugin"], enabled=own.enabled, state=row["state"], reason=row["reason"],
            node=row["node"], since=rfc3339_or_none(row["since"]), organisations=tuple(own.organisations),
            capabilities=tuple(sorted(wanted.plugin.capabilities)) if wanted else (),
            hooks=tuple(sorted(wanted.hooks)) if wanted else (), commands=tuple(self._core.commands.host.of(row["name"])),
        )  # fmt: skip


def register(registry: Registry, core: Core) -> None:
    """Add the calls to a registry."""
    registry.add("GET", "/plugin/search", PluginCalls(core).search)
