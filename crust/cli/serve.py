"""`crust serve`: the server."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from crust.cli.common import Config
from crust.runtime import serve as run
from crust.servers import loops
from crust.settings import load
from crust.telemetry import configure


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 takes a free one.")] = None,
    server: Annotated[Literal["hypercorn", "uvicorn"] | None, Parameter(help="The server below; uvicorn is an extra.")] = None,
    strict: Annotated[bool, Parameter(help="Refuse to start when a plugin cannot be at work.", negative="")] = False,
    config: Config = None,
) -> None:
    """Migrate the database, then serve the API and the websocket until SIGTERM or SIGINT."""
    settings = load(config, host=host, port=port, server=server)
    configure(settings.log.level, settings.log.format)
    loops.run(lambda: run(settings, strict=strict), settings)
