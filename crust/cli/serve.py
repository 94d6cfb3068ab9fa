"""`crust serve`: the server."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from crust.cli.common import Config
from crust.runtime import serve as run
from crust.settings import load
from crust.telemetry import configure


async def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 takes a free one.")] = None,
    config: Config = None,
) -> None:
    """Migrate the database, then serve the API and the websocket until SIGTERM or SIGINT."""
    settings = load(config, host=host, port=port)
    configure(settings.log.level, settings.log.format)
    await run(settings)
