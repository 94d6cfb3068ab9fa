"""Structured logging: what the process tells of itself, on standard error, people and machines alike in mind.

    configure("info", "auto")              # once, in the command
    log = get_logger(__name__)
    log.info("drained", sockets=12)

Values under keys that name a secret are masked. So a session's public id is logged as `session`: `session_id` is what clients call the
secret that they hold.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog
from structlog.typing import Processor

SECRET = re.compile(r"password|passwd|secret|token|authorization|cookie|session[_-]id|database_url|broker_url|api[_-]?key", re.IGNORECASE)
MASK = "***"
NEST = 8  # levels below which nothing is looked at: a log line is no document

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]


PROCESSORS: list[Any] = []
"""One list for the life of the process: loggers that have been used keep it, and what is configured anew holds for them, too."""


def configure(level: Level = "info", format: Format = "auto") -> None:
    """Send the logs of Crust, and those of the libraries below it, to standard error.

    Args:
        level: the least that is told.
        format: `auto` is `console` where standard error is a terminal, else `json`: one object a line.
    """
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(console=console))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in ("asyncio", "hypercorn.access", "hypercorn.error", "quart.app", "tortoise", "uvicorn.error"):
        _route(logging.getLogger(name))
    PROCESSORS[:] = [structlog.stdlib.filter_by_level, *_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
    structlog.configure(
        processors=PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module, by its `__name__`. It may be made before `configure` is called."""
    return structlog.stdlib.get_logger(name)  # a proxy that looks at the configuration when it is first used


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The event with `***` for each value whose key names a secret, in tables and lists within it too."""
    return {key: MASK if _is_secret(key, value) else _masked(value, NEST) for key, value in event.items()}


def _masked(value: Any, levels: int) -> Any:
    if not levels:
        return MASK if isinstance(value, Mapping | list | tuple) else value
    if isinstance(value, Mapping):
        return {key: MASK if _is_secret(key, inner) else _masked(inner, levels - 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner, levels - 1) for inner in value]
    return value


def _is_secret(key: object, value: object) -> bool:
    return value is not None and not isinstance(value, bool) and SECRET.search(str(key)) is not None


def _shared() -> list[Processor]:
    """What happens to every event, Crust's own and the libraries'."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]


def _formatter(*, console: bool) -> logging.Formatter:
    # Tracebacks are plain text: structlog's richer ones show local variables, and with them secrets.
    rendering: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=repr)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_shared()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )


def _route(logger: logging.Logger) -> None:
    """Let a library's logger speak through ours alone."""
    logger.handlers.clear()
    logger.propagate = True
