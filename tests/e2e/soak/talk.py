"""What people do with messages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tests.e2e.soak.ledger import Answer, Said
from tests.e2e.soak.people import Person
from tests.e2e.soak.wire import Ended
from tests.e2e.soak.world import Channel

STALE = 999_999  # a version that no message gets


async def say(p: Person) -> None:
    """Post, with or without a key; now and then ask for the same again, or for something else under the same key."""
    channel, token = p.a_seat(), p.token()
    fields: dict[str, Any] = {"channel_id": channel.id, "contents": p.words(token)}
    if p.often(0.6):
        fields["client_msg_id"] = token
    said = await post(p, channel, token, fields)
    if said is not None and "client_msg_id" in fields and p.often(0.2):
        await repeat(p, channel, said, fields)


async def post(p: Person, channel: Channel, token: str, fields: Mapping[str, Any], target: Said | None = None) -> Said | None:
    """Post; `target` is what it answers, if anything."""
    allowed = p.look(channel).allowed({200})
    if target is not None:
        allowed = target.there(allowed, gone=(403, 404))
    if p.wire.open and p.often(0.5):
        answer = await p.frame("message", fields, allowed)
    else:
        answer = await p.ask("POST", "/message/edit", allowed, fields)
    return stored(p, channel, token, fields["contents"], answer)


def stored(p: Person, channel: Channel, token: str, contents: str, answer: Answer) -> Said | None:
    if answer.status != 200:
        return None
    if answer.response["contents"] != contents or answer.response["channel_id"] != channel.id or answer.response.get("duplicate"):
        p.ledger.fault("wrong answer", f"posted {contents[:60]!r}, got {str(answer.response)[:200]}")
    return p.said(channel, token, answer.response)


async def repeat(p: Person, channel: Channel, said: Said, fields: Mapping[str, Any]) -> None:
    """The same key: the same message; with another body: a conflict."""
    if p.often(0.3):
        await p.ask("POST", "/message/edit", {409}, {**fields, "contents": fields["contents"] + "?"})
        return
    allowed = said.there(p.look(channel).allowed({200}, public={200}, private={410}), gone=(410,))
    answer = await p.ask("POST", "/message/edit", allowed, fields)
    p.ledger.repeats += 1
    if answer.status == 200 and (int(answer.response["id"]) != said.id or answer.response.get("duplicate") is not True):
        p.ledger.fault("wrong answer", f"a repeat of {said.id} gave {str(answer.response)[:200]}")


async def say_much(p: Person) -> None:
    """Several frames at once, without waiting: they keep their order."""
    if not p.wire.open:
        return
    channel = p.chance.choice(p.world.steady)
    asked = []
    for _ in range(p.chance.randint(2, 8)):
        token = p.token()
        contents = p.words(token)
        data = {"channel_id": channel.id, "contents": contents, "client_msg_id": token}
        asked.append((token, contents, await p.wire.begin("message", data)))
    for token, contents, task in asked:
        stored(p, channel, token, contents, p.ledger.answered("frame", "message", await task, {200}))


async def write_to(p: Person) -> None:
    """A message to a person opens the direct channel."""
    if not p.wire.open:
        return
    other, token = p.another(), p.token()
    contents = p.words(token)
    answer = await p.frame("message", {"user_id": other.user_id, "contents": contents, "client_msg_id": token}, {200})
    if answer.status == 200:
        channel = p.world.known(answer.response["channel_id"], "direct", p.id, [p.id, other.user_id])
        stored(p, channel, token, contents, answer)


async def say_and_vanish(p: Person) -> None:
    """A message whose answer is not waited for: the connection is torn. Its key makes the repeat safe."""
    if not p.wire.open:
        return
    channel, token = p.chance.choice(p.world.steady), p.token()
    fields = {"channel_id": channel.id, "contents": p.words(token), "client_msg_id": token}
    lost = await p.wire.begin("message", fields)
    if p.often(0.5):
        await asyncio.sleep(p.chance.uniform(0, 0.01))
    await p.wire.reset()
    with suppress(Ended):
        await lost
    answer = await p.http("POST", "/message/edit", {200}, fields, {})
    if answer.status == 200:
        p.ledger.repeats += bool(answer.response.pop("duplicate", False))
        stored(p, channel, token, fields["contents"], answer)


async def reply(p: Person) -> None:
    channel = p.a_seat()
    target = channel.a_message(p.chance)
    if target is not None:
        token = p.token()
        await post(p, channel, token, {"channel_id": channel.id, "contents": p.words(token), "reply_to": str(target.id)}, target)


async def edit(p: Person) -> None:
    """Say it better: over whatever it is, over the version that it has, or over one that it has not."""
    if not p.mine:
        return
    said = p.chance.choice(p.mine)
    channel = p.world.channels[said.channel_id]
    fields: dict[str, Any] = {"id": str(said.id), "contents": p.words(said.token)}
    right = 200
    if p.often(0.5):
        stale = p.often(0.2)
        fields["version"] = STALE if stale else said.version
        right = 409 if stale else 200
    allowed = said.there(p.look(channel).allowed({right}))
    answer = await (
        p.frame("message", fields, allowed) if p.wire.open and p.often(0.3) else p.ask("POST", "/message/edit", allowed, fields)
    )
    if answer.status == 200:
        p.ledger.edits += 1
        said.contents, said.version = fields["contents"], said.version + 1
        if not said.removed and (answer.response["version"], answer.response["contents"]) != (said.version, said.contents):
            p.ledger.fault("wrong answer", f"edited {said.id} to version {said.version}, got {str(answer.response)[:200]}")


async def remove(p: Person) -> None:
    """Take back one's own message, or somebody's in a channel that one made."""
    own = [said for said in p.mine if not said.removed]
    channel = p.a_seat()
    if channel.maker == p.id and channel.maker_stays and channel.type != "direct" and not channel.steady:
        own = [said for said in channel.recent if not said.removed] or own
    if not own:
        return
    said = p.chance.choice(own)
    allowed = p.look(p.world.channels[said.channel_id]).allowed({200}, public={200})
    said.removed = True
    answer = await p.ask("DELETE", "/message/remove", allowed, {"id": str(said.id)})
    said.removed = said.gone = answer.status == 200
    p.ledger.removals += said.gone


async def edit_anothers(p: Person) -> None:
    """Which is refused, to administrators as well."""
    said = p.a_seat().a_message(p.chance)
    if said is not None and said.author != p.account.username:
        allowed = said.there(p.look(p.world.channels[said.channel_id]).allowed({403}))
        await p.ask("POST", "/message/edit", allowed, {"id": str(said.id), "contents": "mine"})


async def mark(p: Person) -> None:
    """Pin, unpin, flag, unflag."""
    channel = p.a_seat()
    said = channel.a_message(p.chance)
    if said is None:
        return
    verb = p.chance.choice(["pin", "unpin", "flag", "unflag"])
    look = p.look(channel)
    if verb == "pin":
        allowed = look.allowed({200})
    else:  # others' pins are not everybody's to remove; a flag only needs the right to see
        right = {200, 403} if verb == "unpin" else {200}
        allowed = look.allowed(right, public=right)
    await p.ask("POST", f"/message/{verb}", said.there(allowed), {"id": str(said.id)})


# ---- reading


async def read_page(p: Person) -> None:
    """A page at a random place; it must be in order, within its bounds, and no longer than asked for."""
    channel = p.a_seat() if p.often(0.8) else (p.world.a_door(p.chance) or p.a_seat())
    said = channel.a_message(p.chance)
    fields: dict[str, Any] = {"channel_id": channel.id, "limit": p.chance.choice([1, 20, 50, 200])}
    where = p.chance.choice(["", "before", "after", "around"])
    if where and said is not None:
        fields[where] = str(said.id)
    answer = await p.ask("GET", "/message/read", p.look(channel).allowed({200}, public={200}), fields)
    if answer.status == 200:
        check_page(p, fields, [int(message["id"]) for message in answer.response])


def check_page(p: Person, fields: Mapping[str, Any], ids: list[int]) -> None:
    low, high = int(fields.get("after", 0)), int(fields.get("before", 2**63))
    if ids != sorted(set(ids)) or len(ids) > fields["limit"] or any(not low < each < high for each in ids):
        p.ledger.fault("wrong answer", f"a page {fields}: {ids[:5]} … {ids[-5:]}")


async def read_one(p: Person) -> None:
    channel = p.a_seat()
    said = channel.a_message(p.chance)
    if said is not None:
        allowed = said.there(p.look(channel).allowed({200}, public={200}))
        answer = await p.ask("GET", "/message/read", allowed, {"id": str(said.id)})
        if answer.status == 200 and answer.response["id"] != str(said.id):
            p.ledger.fault("wrong answer", f"message {said.id} is {answer.response['id']}")
