"""One websocket: signing in, catching up, then requests in and frames out, until either side ends it.

A reader starts a task for each request; a writer alone sends, at the pace at which the client reads; whoever runs the two ends what is
silent, stuck or no longer signed in. What is pulled by the writer itself (snapshots, replay) costs no queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from crust.errors import CrustError, Internal, RateLimited, Unauthenticated
from crust.services.actor import Actor
from crust.services.snapshots import Wanted
from crust.telemetry import get_logger
from crust.ws.frame import Run, joined_up_to, up_to
from crust.ws.hub import Connection
from crust.ws.opening import Opening
from crust.ws.outbox import Ephemeral, Item, Outbox, Reply, Snapshot
from crust.ws.protocol import (
    OK,
    Close,
    Closing,
    Inbound,
    Login,
    Refused,
    Request,
    channel_frame,
    error_frame,
    reply_frame,
)
from crust.ws.services import Services
from crust.ws.verbs import Verbs

log = get_logger(__name__)

WRITTEN_MAX = 65_536  # characters that are handed to the socket at once, joined into one frame or not: what it buffers by itself
READY = (str, Run)  # what the outbox holds that is sent as it is
WATCH_S = 5.0  # how often the watch looks
LINGER_S = 3.0  # for what is queued, and the client's own close, once the connection is to end
SESSION_CHECK_S = 60.0  # how soon a session that expires by itself ends its sockets; revoked ones end at once
RATE_LIMITED_MAX = 200  # refusals, less what was granted since, before persistence is abuse


class Socket(Protocol):
    """What a connection needs of the network."""

    async def receive(self) -> str | bytes:
        """The next frame. When the other side is gone, the task that runs the connection is cancelled."""
        ...

    async def send(self, parts: Sequence[str | Run]) -> None:
        """Send these frames, in order."""
        ...

    async def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None:
        """Drop the connection without a farewell, for a peer that does not read one."""
        ...

    def silence(self) -> float | None:
        """Seconds since anything came in, pongs included; None where the server below watches that itself."""
        ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who it is, and with which secret they proved it."""

    actor: Actor
    secret: str


class WebsocketConnection:
    """See the module.

    Args:
        credentials: from the upgrade; None waits for a `login` frame.
        place: epoch and position to resume from, if the client gave them.
        admit: called with the user id once it is known; tells whether they may have one more socket.
    """

    def __init__(
        self,
        services: Services,
        socket: Socket,
        credentials: Credentials | None,
        place: tuple[str, int] | None,
        admit: Callable[[int], bool],
    ) -> None:
        self._services, self._socket, self._place, self._admit = services, socket, place, admit
        self._credentials = credentials
        self._metrics = services.metrics
        own = services.settings.websocket
        self._own = own
        self._inbound = Inbound(own.frame_bytes, own.in_flight, own.unusable_frames, signed_in=credentials is not None)
        self.outbox = Outbox(own.queue_frames, own.queue_bytes, self._closing)
        self._writer: asyncio.Task[None] | None = None
        self._requests: set[asyncio.Task[None]] = set()
        self._verbs = Verbs(services)
        self._rate_limited = 0
        self._sending, self._sent = False, 0
        self._gone = False

    async def run(self) -> None:
        """Serve the socket to its end. Raises nothing but cancellation."""
        try:
            if self._credentials is None:
                await self._wait_for_login()
            if self._credentials is not None and self.outbox.closing is None:
                if self._admit(self._credentials.actor.user_id):
                    await self._serve(self._credentials)
                else:
                    self.outbox.close(Closing(Close.TOO_MANY, "too many connections"))
        except asyncio.CancelledError:
            self._gone = True
            raise
        except CrustError as error:
            log.warning("a websocket was given up", reason=error.message)
            self.outbox.close(Closing(Close.INTERNAL, "the server cannot go on with this connection"))
        finally:
            await self._end()

    # ---- signing in

    async def _wait_for_login(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._own.login_timeout_s):
                while self._credentials is None and self.outbox.closing is None:
                    frame = await self._received_or_closed()
                    if frame is not None:
                        await self._before_login(self._received(frame))
        if self._credentials is None:
            self.outbox.close(Closing(Close.SESSION_ENDED, "sign in first"))
            await self._send(self.outbox.rest())  # `shutdown`, if that is why

    async def _received_or_closed(self) -> str | bytes | None:
        """The next frame; None when the server ends the connection meanwhile."""
        receiving = asyncio.ensure_future(self._socket.receive())
        closing = asyncio.ensure_future(self.outbox.closed.wait())
        try:
            await asyncio.wait([receiving, closing], return_when=asyncio.FIRST_COMPLETED)
            return receiving.result() if receiving.done() else None
        finally:
            receiving.cancel()
            closing.cancel()

    async def _before_login(self, answer: Request | Refused | Closing) -> None:
        if isinstance(answer, Closing):
            self.outbox.close(answer)
        elif isinstance(answer, Refused):
            await self._reply(error_frame(answer.reply_to, answer.error))
        else:
            await self._login(answer)

    async def _login(self, request: Request) -> None:
        assert isinstance(request.data, Login)
        self._inbound.answered(request)
        try:
            actor = await self._services.core.sessions.authenticate(request.data.session_id, request.data.client_id)
        except CrustError as error:
            await self._reply(error_frame(request.id, error))
            self.outbox.close(Closing(Close.SESSION_ENDED, "sign in first"))
            return
        self._credentials = Credentials(actor, request.data.session_id)
        self._inbound.signed_in = True
        await self._reply(reply_frame(request.id, OK))

    async def _reply(self, frame: str) -> None:
        """Answer before there is a writer."""
        self._metrics.frames_out["reply"] += 1
        await self._socket.send([frame])

    # ---- serving

    async def _serve(self, credentials: Credentials) -> None:
        connection = Connection(credentials.actor, self.outbox)
        self._services.hub.admit(connection)
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._check_session(credentials)  # it may have ended between the upgrade and now
            self._writer = asyncio.create_task(self._write(connection), name="websocket writer")
            tasks += [self._writer, asyncio.create_task(self._read(), name="websocket reader")]
            await self._watch(tasks, credentials)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await self._finish_requests()
            left = self._services.hub.detach(connection)
            if left is not None:
                self._services.core.presence.disconnected(credentials.actor.user_id, left)
        for result in results:
            if isinstance(result, Exception):
                self._failed(result)

    async def _finish_requests(self) -> None:
        """Who says something and hangs up has said it: give what is under way the time that it takes, within limits."""
        if requests := set(self._requests):
            _, late = await asyncio.wait(requests, timeout=LINGER_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _failed(self, error: Exception) -> None:
        """The boundary: a connection's failure is its own."""
        if not isinstance(error, CrustError):
            log.error("a websocket failed", exc_info=error)
        self.outbox.close(Closing(Close.INTERNAL, "the server cannot go on with this connection"), at_once=True)

    async def _end(self) -> None:
        """Say why, if there is somebody to hear it."""
        closing = self.outbox.closing or Closing(Close.NORMAL, "")
        self._metrics.closes["gone" if self._gone and self.outbox.closing is None else str(int(closing.code))] += 1
        if self._gone:
            return
        try:
            async with asyncio.timeout(LINGER_S):
                await self._socket.close(closing.code, closing.reason)
        except TimeoutError:
            self._socket.abort()

    # ---- in

    async def _read(self) -> None:
        while True:
            answer = self._received(await self._socket.receive())
            if isinstance(answer, Closing):
                self.outbox.close(answer, at_once=True)
                await asyncio.sleep(LINGER_S)  # the writer ends first, which ends this
            elif isinstance(answer, Refused):
                self._refuse(answer)
            else:
                # Started in the order of arrival, tasks put their changes into the log's queue in that order too: nothing on the way
                # there waits for anything. So messages of one connection keep their order without waiting for each other's commit.
                task = asyncio.create_task(self._answer(answer), name=f"websocket {answer.verb}")
                self._requests.add(task)
                task.add_done_callback(self._requests.discard)

    def _received(self, frame: str | bytes) -> Request | Refused | Closing:
        answer = self._inbound.received(frame)
        self._metrics.frames_in[answer.verb if isinstance(answer, Request) else "refused"] += 1
        return answer

    def _refuse(self, refused: Refused) -> None:
        self._metrics.frames_out["reply"] += 1
        self.outbox.put(error_frame(refused.reply_to, refused.error))
        self._count_refusal(refused.error)

    def _count_refusal(self, error: CrustError | None) -> None:
        if isinstance(error, RateLimited):
            self._rate_limited += 1
        elif error is None:
            self._rate_limited = max(0, self._rate_limited - 1)  # not 0: the bucket lets a few of any flood through
        if self._rate_limited > RATE_LIMITED_MAX:
            self.outbox.close(Closing(Close.RATE, "too many requests"))

    async def _answer(self, request: Request) -> None:
        """Act upon a request; whatever happens, it gets a reply."""
        try:
            frame = reply_frame(request.id, await self._verbs.do(self._actor, request))
            self._count_refusal(None)
        except CrustError as error:
            frame = error_frame(request.id, error)
            self._count_refusal(error)
        except Exception:  # the boundary: a request's failure is its own
            log.exception("a websocket request failed", verb=request.verb)
            frame = error_frame(request.id, Internal("Something went wrong on the server."))
        self.outbox.put_reply(Reply(request, frame))
        if request.verb == "quit":
            self.outbox.close(Closing(Close.NORMAL, "goodbye"))

    @property
    def _actor(self) -> Actor:
        assert self._credentials is not None
        return self._credentials.actor

    # ---- out

    async def _write(self, connection: Connection) -> None:
        async for item in Opening(self._services, self._actor, self._place).items(connection):
            if self.outbox.closing is not None:
                break
            await self._send([item])
        while items := await self.outbox.take():
            await self._send(items)
        if self._requests:  # work in hand is finished, and answered
            await asyncio.wait(self._requests, timeout=LINGER_S)
            await self._send(self.outbox.rest())

    async def _send(self, items: Sequence[Item]) -> None:
        parts: list[str | Run] = []
        for item in items:
            if isinstance(item, Snapshot):  # made when it is its turn, and held alone: it may be large
                await self._hand_over(parts)
                parts = await self._shown(item)
            else:
                parts.append(item if isinstance(item, READY) else self._reply_or_ephemeral(item))
        await self._hand_over(parts)
        for item in items:
            if isinstance(item, Reply):
                self._inbound.answered(item.request)

    async def _hand_over(self, parts: Sequence[str | Run]) -> None:
        for some in joined_up_to(parts, WRITTEN_MAX) if self._verbs.batch else up_to(parts, WRITTEN_MAX):
            self._sending = True
            await self._socket.send(some)
            self._sent += 1
        self._sending = False

    def _reply_or_ephemeral(self, item: Reply | Ephemeral) -> str:
        self._metrics.frames_out["reply"] += isinstance(item, Reply)
        return item.frame

    async def _shown(self, item: Snapshot) -> list[str | Run]:
        """The frame of a channel as it is now, if the viewer may see it now."""
        wanted = [Wanted(item.channel_id, self._own.backlog_messages)]
        frames: list[str | Run] = [channel_frame(snapshot) async for snapshot in self._services.core.snapshots.of(self._actor, wanted)]
        self._metrics.frames_out["channel"] += len(frames)
        return frames

    # ---- watching

    async def _watch(self, tasks: Collection[asyncio.Task[None]], credentials: Credentials) -> None:
        """Wait until one of the tasks ends; meanwhile end what is silent, stuck or signed out."""
        checked = progress = self._now()
        sent = self._sent
        while not (await asyncio.wait(tasks, timeout=WATCH_S, return_when=asyncio.FIRST_COMPLETED))[0]:
            now = self._now()
            if not self._sending or self._sent != sent:
                progress, sent = now, self._sent
            if (self._socket.silence() or 0) > self._own.silence_s:
                self.outbox.close(Closing(Close.SILENT, "nothing was heard of you"), at_once=True)
            elif now - progress > self._own.send_timeout_s:
                self.outbox.close(Closing(Close.SLOW, "you do not read: come back and resume"), at_once=True)
            elif now - checked > SESSION_CHECK_S:
                checked = now
                await self._check_session(credentials)

    def _closing(self) -> None:
        """The connection is to end: who does not take what is left for them in time is left alone with it."""

        def enough() -> None:
            if self._writer is not None:
                self._writer.cancel()

        asyncio.get_running_loop().call_later(LINGER_S, enough)

    async def _check_session(self, credentials: Credentials) -> None:
        try:
            actor = await self._services.core.sessions.authenticate(credentials.secret, credentials.actor.client_id)
            self._credentials = Credentials(actor, credentials.secret)  # rights may have changed
        except Unauthenticated:
            self.outbox.close(Closing(Close.SESSION_ENDED, "the session has ended"))
        except CrustError:
            log.warning("a session could not be checked; trying again")

    def _now(self) -> float:
        return self._services.core.clock.monotonic()
