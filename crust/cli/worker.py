"""`crust worker`: plugins in a process of their own."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from crust.cli.common import Config
from crust.servers import loops
from crust.settings import load
from crust.telemetry import configure
from crust.worker import work


def worker(
    *,
    port: Annotated[
        int | None, Parameter(help="Answer /metrics and /health here; else nowhere.", validator=Number(gte=0, lte=65535))
    ] = None,
    host: Annotated[str, Parameter(help="The address of that port.")] = "127.0.0.1",
    strict: Annotated[bool, Parameter(help="Refuse to start when a plugin cannot be at work.", negative="")] = False,
    config: Config = None,
) -> None:
    """Let plugins handle events here, beside servers over the same PostgreSQL and RabbitMQ, until SIGTERM or SIGINT."""
    settings = load(config)
    configure(settings.log.level, settings.log.format)
    loops.run(lambda: work(settings, strict=strict, address=None if port is None else (host, port)), settings)
