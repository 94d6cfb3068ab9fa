"""What is asked of a trial."""

from __future__ import annotations

from dataclasses import dataclass

SPARE = 1  # people who neither talk nor listen; a crowd has their account


@dataclass(frozen=True, slots=True)
class Plan:
    """See the module.

    Args:
        seed: of every decision.
        database: `sqlite`; `postgres` for one that is started; or the URL of a server on which a database is made.
        broker: `rabbit` for one that is started; `none`; or the URL of one that may be thrown away.
        nodes: how many; SQLite has one.
        rate: messages a second, over all authors.
        http_authors, socket_authors, listeners, channels: how many.
        crowd: sockets, where a fault is about many of them.
        scale: how long faults last, as a share of what they last in full, but never too short to come to the point.
        folder: where everything is kept; empty: in a temporary one, which is removed.
    """

    seed: int = 1
    database: str = "sqlite"
    broker: str = "rabbit"
    nodes: int = 2
    rate: float = 30.0
    http_authors: int = 4
    socket_authors: int = 2
    listeners: int = 8
    channels: int = 4
    crowd: int = 1000
    scale: float = 1.0
    folder: str = ""

    @property
    def people(self) -> int:
        return self.http_authors + self.socket_authors + self.listeners + SPARE

    @property
    def database_kind(self) -> str:
        """Without the address, which may hold a password."""
        return "SQLite" if self.database == "sqlite" else "a PostgreSQL of its own" if self.database == "postgres" else "PostgreSQL"

    @property
    def broker_kind(self) -> str:
        return {"none": "none", "rabbit": "RabbitMQ of its own"}.get(self.broker, "RabbitMQ")

    @property
    def node_count(self) -> int:
        """How many there really are."""
        return 1 if self.database == "sqlite" else self.nodes
