"""One run of a handler, and what came of it. Whatever a handler does, this ends, in time, and with a result."""

from __future__ import annotations

import asyncio
import traceback
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from crust.errors import EventRefused, TargetError, Unavailable
from crust.host.consumer import Consumer, Delivery, Outcome, current
from crust.host.held import Held
from crust.host.schedule import How
from crust.host.store import holding
from crust.models.database import Write
from crust.services.names import cleaned
from crust.telemetry import get_logger

log = get_logger(__name__)

GRACE_S = 5.0  # for a handler that was cancelled to end
ERROR_MAX = 4000  # characters of an error that are kept, the last ones: there it says what happened

abandoned: set[asyncio.Task[Any]] = set()
"""Handlers that did not end when they were told to. Nobody waits for them, and nothing that they write counts."""


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended; `error` is for operators."""

    how: How
    error: str | None = None
    receipt: str | None = None
    retry_after: float | None = None
    writes: tuple[Write, ...] = ()


async def attempt(consumer: Consumer, delivery: Delivery, held: Held, seconds: float) -> Result:
    """Let the consumer handle an event, for at most so many seconds. What it holds back counts only if this ends as it should.

    Cancelled, it cancels the handler, and waits a little for it.
    """
    context = copy_context()
    context.run(current.set, delivery)
    context.run(holding.set, held)
    task = asyncio.get_running_loop().create_task(handled(consumer, delivery), context=context)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
        if not done:
            await end(task)
    except asyncio.CancelledError:
        await end(task)
        raise
    finally:
        held.over = True
    if not task.done() or (not done and task.cancelled()):
        return Result("raised", f"It took longer than {seconds:g} s.")
    if task.cancelled():
        return Result("raised", "It was cancelled by something that it waited for.")
    return task.result()


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel it and wait a little for it; who does not end is left alone."""
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=GRACE_S)
    if not done:
        log.error("a handler does not end when it is cancelled; it is left alone", task=task.get_name())
        abandoned.add(task)
        task.add_done_callback(abandoned.discard)


async def handled(consumer: Consumer, delivery: Delivery) -> Result:
    """What the handler says, or raises, as a result."""
    try:
        if not await consumer.still_allowed(delivery):
            return Result("withdrawn")
        outcome = await consumer.handle(delivery) or Outcome()
        return Result(outcome.state, kept(outcome.note), kept(outcome.receipt), writes=outcome.writes)
    except (TargetError, Unavailable) as error:  # Unavailable: the core itself, or its database: neither the event's fault nor the plugin's
        return Result("target", kept(str(error)), retry_after=error.retry_after)
    except EventRefused as error:
        return Result("refused", kept(str(error)))
    except (Exception, SystemExit) as error:  # the boundary: a plugin's bug is recorded, and is nobody else's
        log.warning("a handler raised", consumer=delivery.consumer, lane=delivery.lane, position=delivery.event.position, exc_info=error)
        return Result("raised", kept("".join(traceback.format_exception(error))))


def kept(text: str | None) -> str | None:
    """A plugin's words as they are kept: what no database or encoding takes is replaced, and of long ones the end is left."""
    return None if text is None else cleaned(text[-ERROR_MAX:])
