"""A bridge without a connection: a program of its own brings what is said elsewhere to the exchange `crust.v1.inject`."""

from __future__ import annotations

from pydantic import Field

from crust.plugin import Bridge, Crossings, PluginConfig


class Config(PluginConfig):
    """What the program's network is called."""

    network: str = Field(
        "", pattern=r"^([a-z0-9]([a-z0-9.-]{0,29}[a-z0-9])?)?$",
        description="The network's name in handles and badges: 1 to 31 small letters, digits, dots and hyphens; empty: the instance's name",
    )  # fmt: skip


class Program(Bridge[Config]):
    """As whom a program speaks. Nothing goes out over its links: what is said here, a program reads from `crust.v1.events`."""

    api = 1
    capabilities = frozenset({"read:public", "read:private", "bridge:inject", "bridge:ghosts"})
    crossings = Crossings(file="dropped")

    @property
    def network(self) -> str:
        return self.ctx.config.network or super().network
