"""The calls of the API, made without HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from crust.api.calls import Call, Context, Registry
from crust.api.uploads import Upload
from crust.clock import SystemClock
from crust.runtime import NOUNS, Node
from crust.services.actor import Actor
from crust.services.limits import TokenBuckets
from crust.settings import Limits


def registry(node: Node) -> Registry:
    """All calls, without rate limits."""
    made = Registry(TokenBuckets.of(Limits(enabled=False), SystemClock()))
    for noun in NOUNS:
        noun.register(made, node.core)
    return made


def every(registry: Registry) -> list[Call]:
    return [call for methods in registry.calls.values() for call in methods.values()]


async def ask(
    registry: Registry, call: Call, actor: Actor | None, params: dict[str, Any], *, key: str | None = None, body: bytes | None = None
) -> dict[str, Any]:
    """An answer, envelope and all.

    Args:
        key: the Idempotency-Key.
        body: of a file.
    """

    async def chunks() -> AsyncIterator[bytes]:
        yield body or b""

    context = Context(
        "r", address="192.0.2.7", client_id=actor.client_id if actor else "client-new", actor=actor, idempotency_key=key,
        upload=None if body is None else Upload(None, params, chunks()),
    )  # fmt: skip
    answer: dict[str, Any] = msgspec.json.decode((await registry.run(call, context, params)).envelope)
    return answer
