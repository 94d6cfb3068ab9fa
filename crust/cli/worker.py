"""`crust worker`: plugins in a process of their own."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from crust.cli.common import Config
from crust.servers import loops
from crust.settings import load
from crust.telemetry import configure
from crust.worker import work


def worker(
    *,
    strict: Annotated[bool, Parameter(help="Refuse to start when a plugin cannot be at work.", negative="")] = False,
    config: Config = None,
) -> None:
    """Let plugins handle events here, beside servers over the same PostgreSQL and RabbitMQ, until SIGTERM or SIGINT."""
    settings = load(config)
    configure(settings.log.level, settings.log.format)
    loops.run(lambda: work(settings, strict=strict), settings)
