"""Programs without the database, which inject by RabbitMQ: who may speak as which bridge, and what comes of what they send.

A program's account speaks as the bridges that the setting `broker.injects` names, over their links, with their capabilities. What can never
be right is answered with an error and kept for operators, the newest of it: `crust parked list`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from crust.broker.injecting import Asked, Injecting
from crust.broker.topology import granted
from crust.errors import BadRequest, CrustError, Forbidden, Internal, NotFound, RateLimited, Rejected, TooLarge, Unavailable
from crust.events.inject import Inject, InjectReply
from crust.host.bridging import InstanceBridge
from crust.host.refused import Refused
from crust.log import Leases
from crust.plugin import Remote, Trust
from crust.services.core import Core
from crust.telemetry import Metrics, get_logger
from crust.telemetry.metrics import OTHER

log = get_logger(__name__)

BODY_BYTES = 262_144  # a message of 16,000 characters of 4 bytes each, escaped, and what stands around it
DECODER = msgspec.json.Decoder(Inject, strict=True)


class NotAtWork(Unavailable):
    """A bridge is not at work, and nobody knows when it will be."""


PASSING = (RateLimited, Rejected, NotAtWork)  # a refusal that says nothing of whoever sent it: they are told, and that is all


class Programs:
    """See the module.

    Args:
        bridges: what each bridge of this process has, by its instance's name.
        accounts: account → the instances that it may speak as.
        metrics: where it is counted what came of what they send.
    """

    def __init__(self, core: Core, bridges: Mapping[str, InstanceBridge], accounts: Mapping[str, list[str]], metrics: Metrics) -> None:
        self._core, self._bridges, self._accounts, self._metrics = core, bridges, accounts, metrics
        self._refused = Refused(core.database, core.clock)

    def lane(self, asked: Asked) -> str:
        """What has to be in order: what one account says in one room."""
        try:
            return f"{asked.account}/{decoded(asked.body).room}"
        except CrustError:
            return f"{asked.account}"

    async def answer(self, asked: Asked) -> InjectReply:
        """Do what was sent, once.

        Raises:
            Unavailable: it is not known whether it was stored; the same again is safe.
        """
        try:
            return await self._settled(asked)
        except PASSING as error:
            if isinstance(error, NotAtWork) and not asked.told:
                return await self._parked(asked, error)
            self._count(asked, error.code)
            return InjectReply(error=error.as_dict())

    async def _settled(self, asked: Asked) -> InjectReply:
        """The same, for what does not pass; what does is raised."""
        try:
            reply = await self._done(asked)
        except (Unavailable, *PASSING):
            raise
        except CrustError as error:
            return await self._parked(asked, error)
        except Exception:  # the boundary: a bug of ours is not to stop what others send
            log.exception("what a program sent could not be dealt with", account=asked.account)
            return await self._parked(asked, Internal("Something went wrong on the server."))
        self._count(asked, reply.state or "posted")
        return reply

    def _count(self, asked: Asked, how: str) -> None:
        known = asked.account if asked.account and asked.account in self._accounts else OTHER
        self._metrics.injects[known, how] += 1

    async def _done(self, asked: Asked) -> InjectReply:
        said = decoded(asked.body)
        bridge = self._speaking(asked.account, said.instance)
        link = await bridge.link(said.room)
        if link is None:
            raise NotFound(f"No channel is linked with {said.room!r:.80}.", field="room")
        author = Remote(
            id=said.author.id, name=said.author.name, handle=said.author.handle, account=said.author.account, avatar=said.author.avatar
        )
        trust, target = Trust(said.verdict, said.how), said.source_id
        match said.action:
            case "post":
                came = await bridge.inject(
                    link, author, said.contents, target, reply_to=said.reply_to, revision=said.revision, trust=trust, via=said.via
                )
                return InjectReply(message_id=came.message_id, state=came.state)
            case "edit":
                await bridge.edit(link, author, target, said.contents, trust=trust, via=said.via)
                return InjectReply(state="edited")
            case "remove":
                await bridge.remove(link, author, target, trust=trust, via=said.via)
                return InjectReply(state="removed")
            case "react":
                await bridge.react(link, author, target, said.emoji, trust=trust, via=said.via)
                return InjectReply(state="reacted")
            case "unreact":
                await bridge.unreact(link, author, target, said.emoji, trust=trust, via=said.via)
                return InjectReply(state="unreacted")

    def _speaking(self, account: str | None, wanted: str | None) -> InstanceBridge:
        """As whom an account speaks.

        Raises:
            Forbidden: as nobody, or not as this one.
            BadRequest: it has to say as which.
            NotAtWork: it is not at work yet.
        """
        if account is None:
            raise Forbidden("Who sends it has to be said in the property user_id, which RabbitMQ verifies.", field="user_id")
        instances = self._accounts.get(account, [])
        if not instances or (wanted is not None and wanted not in instances):
            raise Forbidden(f"The account {account} may not speak as {wanted or 'anybody'}: broker.injects says who may.", field="instance")
        if wanted is None and len(instances) > 1:
            raise BadRequest(f"Say as which instance: {', '.join(instances)}.", field="instance")
        name = wanted or instances[0]
        if name not in self._bridges:
            raise NotFound(f"There is no bridge {name}.", field="instance")
        if name not in self._core.links.bridges:
            raise NotAtWork(f"The bridge {name} is not at work yet.", retry_after=1)
        return self._bridges[name]

    async def _parked(self, asked: Asked, error: CrustError) -> InjectReply:
        log.error("what a program sent is refused", account=asked.account, reason=error.message)
        self._count(asked, "parked")
        await self._refused.keep(asked, f"{error.code}: {error.message}", self._core.settings.delivery.keep_days)
        return InjectReply(error=error.as_dict())

    async def replay(self) -> None:
        """Do again what operators have asked for, of what was refused; what is refused anew is parked anew, and what passes waits."""
        for each in await self._refused.wanted():
            try:
                await self._settled(each.asked)
            except Rejected as error:
                await self._parked(each.asked, error)
            except (Unavailable, RateLimited) as error:
                log.warning("what is to be done again waits", account=each.asked.account, reason=error.message)
                continue
            await self._refused.drop(each.number)


def decoded(body: bytes) -> Inject:
    """What a program has sent.

    Raises:
        TooLarge: it is longer than any message is.
        BadRequest: it is none; says what is wrong with it.
    """
    if len(body) > BODY_BYTES:
        raise TooLarge(f"A message may have {BODY_BYTES} bytes.")
    try:
        return DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(f"It cannot be read: {error}") from None


def reader(core: Core, bridges: Mapping[str, InstanceBridge], leases: Leases, metrics: Metrics) -> Injecting | None:
    """What reads what programs send, in this process or in another; None where none may send anything."""
    accounts = granted(core.settings.broker.injects)
    if not (core.settings.broker_url and accounts):
        return None
    return Injecting(core.settings, leases, Programs(core, bridges, accounts, metrics), metrics)
