"""What people do with channels, and in them without saying anything."""

from __future__ import annotations

from typing import Any

from tests.e2e.soak.people import Person
from tests.e2e.soak.world import Channel


async def make(p: Person) -> None:
    """A public or private channel, with some of the others in it; with a key, a repeat gives the same one."""
    token = p.token()
    type_ = p.chance.choice(["public", "private"])
    members = [account.user_id for account in p.others if p.often(0.15)]
    fields: dict[str, Any] = {"name": f"{token} room", "topic": p.chance.choice(["", "this and that"]), "type": type_, "members": members}
    if not members:
        del fields["members"]
    key = token if p.often(0.5) else None
    answer = await p.ask("POST", "/channel/edit", {200}, fields, key)
    if answer.status != 200:
        return
    channel_id = answer.response["id"]
    channel = p.world.known(channel_id, type_, p.id, [p.id, *members])
    channel.maker_stays = type_ == "private" or p.often(0.5)
    if key and p.often(0.5):
        again = await p.ask("POST", "/channel/edit", {200}, fields, key)
        p.ledger.repeats += 1
        if again.status == 200 and (again.response["id"] != channel_id or again.response.get("duplicate") is not True):
            p.ledger.fault("wrong answer", f"a repeat of channel {channel_id} gave {str(again.response)[:200]}")


async def make_direct(p: Person) -> None:
    other = p.another().user_id
    fields = {"type": "direct", "name": "", "topic": "", "members": [other]}
    answer = await p.ask("POST", "/channel/edit", {200}, fields)
    if answer.status == 200:
        p.world.known(answer.response["id"], "direct", p.id, [p.id, other])


# ---- coming and going


async def join(p: Person) -> None:
    channel = p.world.a_door(p.chance)
    if channel is None:
        return
    public = channel.type == "public"
    allowed = {200} if public else p.look(channel).allowed({200})
    with channel.seat(p.id).changing(True) as granted:
        if p.wire.open and p.often(0.5):
            answer = await p.frame("join", {"channel_id": channel.id}, allowed)
        else:
            answer = await p.ask("POST", "/channel/join", allowed, {"id": channel.id})
        granted += [True] if answer.status == 200 else []


async def part(p: Person) -> None:
    """Leave; who made a private channel stays, and nobody leaves a direct one."""
    channel = p.world.a_way_out(p.chance, p.id) if p.often(0.7) else p.world.a_door(p.chance)
    if channel is None or (channel.maker == p.id and channel.maker_stays):
        return
    look = p.look(channel)
    if channel.type == "direct":
        await p.ask("POST", "/channel/part", look.allowed({403}), {"id": channel.id})
        return
    allowed = look.allowed({200}, public={200})
    with channel.seat(p.id).changing(False) as granted:
        if p.wire.open and p.often(0.5):
            answer = await p.frame("part", {"channel_id": channel.id}, allowed)
        else:
            answer = await p.ask("POST", "/channel/part", allowed, {"id": channel.id})
        granted += [True] if answer.status == 200 else []


async def invite(p: Person) -> None:
    channel = a_room(p)
    if channel is None:
        return
    other, look = p.another().user_id, p.look(channel)
    if channel.type == "direct":
        await p.ask("POST", "/channel/invite", look.allowed({403}), {"id": channel.id, "user_id": other})
        return
    with channel.seat(other).changing(True) as granted:
        answer = await p.ask("POST", "/channel/invite", look.allowed({200}), {"id": channel.id, "user_id": other})
        granted += [True] if answer.status == 200 else []


async def kick(p: Person) -> None:
    """Owners may; ownership passes on when the last owner leaves, so what others are answered is only known roughly."""
    channel = a_room(p)
    if channel is None:
        return
    other = p.another().user_id
    if channel.type == "direct" or (other == channel.maker and channel.maker_stays):
        return
    look = p.look(channel)
    allowed = look.allowed({200, 404} if channel.maker == p.id and channel.maker_stays else {200, 403, 404}, public={200, 403, 404})
    with channel.seat(other).changing(False) as granted:
        answer = await p.ask("POST", "/channel/kick", allowed, {"id": channel.id, "user_id": other})
        granted += [True] if answer.status == 200 else []


def a_room(p: Person) -> Channel | None:
    """A channel that people come to and leave, preferably one that one is in."""
    inside = [channel for channel in p.world.lively if channel.seat(p.id).inside]
    return p.chance.choice(inside) if inside and p.often(0.8) else p.world.a_door(p.chance)


# ---- inside


async def change(p: Person) -> None:
    """Another name, or another topic, or neither."""
    channel = p.a_seat()
    right = {403} if channel.type == "direct" else {200}
    names = [f"{channel.id[-4:]} name {n}" for n in range(3)]
    fields = {"id": channel.id, "name": p.chance.choice(names), "topic": f"topic {p.chance.randrange(1000)}"}
    await p.ask("POST", "/channel/edit", p.look(channel).allowed(right), fields)


async def view(p: Person) -> None:
    """Move the read mark: to the newest, or to any message."""
    channel = p.a_seat()
    said = channel.a_message(p.chance)
    fields = {"id": channel.id}
    if said is not None and p.often(0.6):
        fields["message_id"] = str(said.id)
    allowed = p.look(channel).allowed({200})
    if p.wire.open and p.often(0.5):
        fields["channel_id"] = fields.pop("id")
        await p.frame("read", fields, allowed)
    else:
        await p.ask("POST", "/channel/view", allowed, fields)


async def look_at(p: Person) -> None:
    channel = p.a_seat()
    path = p.chance.choice(["/channel/read", "/channel/members"])
    await p.ask("GET", path, p.look(channel).allowed({200}, public={200}), {"id": channel.id})


async def search(p: Person) -> None:
    """What is found must be what one may see: nothing private of others."""
    query = p.chance.choice(["", "room", "general", p.another().username, "100%_!"])
    looks = {channel.id: p.look(channel) for channel in p.world.lively}
    answer = await p.ask("GET", "/channel/search", {200}, {"query": query, "limit": 200})
    for found in answer.response if answer.status == 200 else ():
        look = looks.get(found["id"])
        if look is not None and look.inside is False and found["type"] != "public":
            p.ledger.fault("wrong answer", f"{p.account.username} found {found['id']}, which is private to others")


async def typing(p: Person) -> None:
    if p.wire.open:
        channel = p.a_seat()
        data = {"channel_id": channel.id, "state": p.chance.choice(["start", "stop"])}
        await p.frame("typing", data, p.look(channel).allowed({200}))


async def presence(p: Person) -> None:
    fields = {"status": p.chance.choice(["available", "away", "dnd"]), "text": p.chance.choice(["lunch", ""])}
    if p.wire.open and p.often(0.5):
        await p.frame("presence", fields, {200})
    else:
        await p.ask("POST", "/user/presence", {200}, fields)


async def people(p: Person) -> None:
    path, fields = p.chance.choice(
        [("/user/me", {}), ("/user/search", {"query": p.another().username[:2]}), ("/user/search", {}), ("/user/sessions", {})]
    )
    await p.ask("GET", path, {200}, fields)
