"""Who is typing in a linked channel, as its bridge is told. It is a hint: nothing is kept, repeated or waited for, and it may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

from crust.errors import CrustError, TargetError
from crust.events.control import Control, Typing
from crust.host.bounded import Late, ended, started
from crust.host.consumer import Code
from crust.telemetry import get_logger

log = get_logger(__name__)

MOST = 200  # hints that wait; more are left out
SECONDS = 5.0  # for one: later it is true no more

OnControl = Callable[[Callable[[Control], None]], Callable[[], None]]
"""Calls a listener for every control message; gives what ends that."""


class Hints:
    """See the module.

    Args:
        instance: the bridge's.
        over: the links over which something of a channel goes out, but for the one that it came over.
        tell: tells the bridge of one of them; by link, user, and whether they have started.
    """

    def __init__(
        self, instance: str, over: Callable[[int, str], Sequence[int]], tell: Callable[[int, int, bool], Coroutine[Any, Any, None]]
    ) -> None:  # fmt: skip
        self._instance, self._over, self._tell = instance, over, tell
        self._waiting: dict[tuple[int, int], bool] = {}
        self._some = asyncio.Event()

    async def always(self, on_control: OnControl) -> NoReturn:
        """Pass on what is heard, until cancelled."""
        stop = on_control(self.heard)
        try:
            while True:
                await self._some.wait()
                self._some.clear()
                while self._waiting:
                    (link_id, user_id), active = self._waiting.popitem()
                    await self._pass_on(link_id, user_id, active)
        finally:
            stop()

    def heard(self, message: Control) -> None:
        """A control message of any node."""
        if isinstance(message, Typing):
            for link_id in self._over(message.channel_id, message.via):
                if len(self._waiting) < MOST:
                    self._waiting[link_id, message.user_id] = message.state == "start"
                    self._some.set()

    async def _pass_on(self, link_id: int, user_id: int, active: bool) -> None:
        try:
            await ended(started(self._tell(link_id, user_id, active), Code(self._instance, "send_typing")), SECONDS)
        except (CrustError, TargetError, Late) as error:  # who is away is told of nothing
            log.debug("a hint was lost", link=link_id, error=str(error))
        except Exception:  # the boundary: a bridge's bug
            log.exception("a bridge failed on a hint", link=link_id)
