"""What each verb of the websocket does: nearly all of them are calls of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from crust.clock import rfc3339
from crust.errors import CrustError
from crust.services.actor import Actor
from crust.ws.protocol import OK, Call, Options, Request, Typing
from crust.ws.services import Services


class Verbs:
    """The verbs of one connection. `batch`: whether its client asked for joined frames."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.batch = False
        self._opening: asyncio.Event | None = None
        self._directs: dict[str, str] = {}

    async def do(self, actor: Actor, request: Request) -> bytes:
        """What a request asks for; gives the envelope of its reply.

        Raises:
            CrustError: what refuses it.
        """
        data = request.data
        match request.verb:
            case "message":
                return await self._message(actor, data)
            case "join" | "part":
                return await self._in_channel(actor, f"/channel/{request.verb}", data)
            case "read":
                return await self._in_channel(actor, "/channel/view", data)
            case "presence":
                return await self._call(actor, "POST", "/user/presence", data)
            case "call":
                assert isinstance(data, Call)
                return await self._call(actor, data.method, data.path, data.params)
        self._services.limiter.take("reads", str(actor.session_id))
        return await self._do_here(actor, request.verb, data)

    async def _do_here(self, actor: Actor, verb: str, data: Any) -> bytes:
        """The verbs that are no API calls."""
        if verb == "typing":
            assert isinstance(data, Typing)
            await self._services.core.typing(actor, data.channel_id, data.state)
        elif verb == "options":
            assert isinstance(data, Options)
            self.batch = data.batch
        elif verb == "ping":
            return msgspec.json.encode({"response": {"time": rfc3339(self._services.core.clock.now())}})
        return OK

    async def _message(self, actor: Actor, data: Mapping[str, Any]) -> bytes:
        """Post or edit; with `user_id` instead of a channel, in the direct channel with them, which is opened if need be.

        Opening takes a while, in which later messages wait, so that they don't overtake.
        """
        while self._opening is not None:
            await self._opening.wait()
        if data.get("user_id") is not None and data.get("channel_id") is None and data.get("id") is None:
            self._opening = asyncio.Event()
            try:
                data = {**data, "channel_id": await self._direct(actor, data["user_id"])}
            finally:
                self._opening.set()
                self._opening = None
        return await self._call(actor, "POST", "/message/edit", data)

    async def _direct(self, actor: Actor, user_id: Any) -> str:
        """The id of the direct channel with somebody."""
        if str(user_id) not in self._directs:
            fields = {"type": "direct", "name": "", "topic": "", "members": [user_id]}
            try:
                opened = msgspec.json.decode(await self._call(actor, "POST", "/channel/edit", fields))
            except CrustError as error:
                if error.field == "members":
                    error.field, error.message = "user_id", "user_id must be the id of somebody else in your organisation."
                raise
            self._directs[str(user_id)] = opened["response"]["id"]
        return self._directs[str(user_id)]

    async def _in_channel(self, actor: Actor, path: str, data: Mapping[str, Any]) -> bytes:
        """A call whose `id` is called `channel_id` in frames."""
        try:
            return await self._call(actor, "POST", path, {**data, "id": data.get("channel_id")})
        except CrustError as error:
            if error.field == "id":
                error.field, error.message = "channel_id", error.message.replace("id ", "channel_id ", 1)
            raise

    async def _call(self, actor: Actor, method: str, path: str, params: Mapping[str, Any]) -> bytes:
        return await self._services.invoke(method, path, actor, params)
