"""Files on messages: where they are shown, who may read them, and that nothing of them outlives their message."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from crust.errors import Forbidden, Gone, IdempotencyMismatch, Invalid, NotFound, TooLarge, Unavailable
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.keys import request_key
from crust.services.messages import FILES_MAX
from crust.services.search import Wish
from crust.services.snapshots import Wanted
from crust.settings import Files, Settings
from tests.support import pictures
from tests.support.files import age, kept, read_by
from tests.support.people import channel, events, names, organisation, person, position, put, say

pytestmark = pytest.mark.asyncio
BYTES = bytes(range(256)) * 20


async def found(node: Node, who: Actor, query: str = "", message_type: str | None = None) -> list[str]:
    return [message.id for message in await node.core.search.find(who, Wish(query=query, message_type=message_type), 50)]


# ---- putting them there


async def test_a_file_is_posted_as_a_message(settings: Settings) -> None:
    """Of type FILE, with its attachment wherever the message is shown: answer, event, page, frame, search."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        room = await channel(node, ana)
        before = await position(node)
        sent = await put(node, ana, "../notes/plan.bin", BYTES, channel_id=room)
        (event,) = await events(node, before)
        (attachment,) = sent.attachments
        assert (sent.type, sent.contents, attachment.name, attachment.size) == ("FILE", "", "plan.bin", len(BYTES))
        assert (attachment.media_type, attachment.width, attachment.preview) == ("application/octet-stream", None, None)
        assert json.loads(bytes(event.body))["attachments"][0] == {
            "id": attachment.id, "name": "plan.bin", "size": len(BYTES), "media_type": "application/octet-stream", "width": None,
            "height": None, "preview": None,
        }  # fmt: skip
        page = await node.core.messages.read(ana, room, before=None, after=None, around=None, limit=1)
        (hit,) = await node.core.search.find(ana, Wish(query="plan"), 10)
        frames = [json.loads(bytes(frame)) async for frame in node.core.snapshots.of(ana, [Wanted(room, 5)])]
        assert page.messages[0].attachments == hit.attachments == (attachment,)
        assert frames[0]["messages"][-1]["attachments"][0]["id"] == attachment.id
        assert hit.snippet == "\ue000plan\ue001.bin"
        assert await read_by(node, ana, attachment.id) == BYTES


async def test_a_file_is_attached_to_ones_own_message(settings: Settings) -> None:
    """That is an edit that says what changed; what it says, and when it was edited, stay."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        room = await channel(node, ana, bob)
        message = await say(node, ana, room, "see this")
        await node.core.messages.react(bob, int(message.id), "👍")
        before = await position(node)
        await put(node, ana, "one.txt", b"one", message_id=int(message.id))
        sent = await put(node, ana, "two.txt", b"two", message_id=int(message.id))
        told = await events(node, before)
        assert [each.name for each in sent.attachments] == ["one.txt", "two.txt"]
        assert (sent.contents, sent.edited_at, sent.version) == ("see this", None, 3)
        assert names(told) == ["message edited", "message edited"]
        body = json.loads(bytes(told[-1].body))
        assert (body["changed"], len(body["attachments"]), body["reactions"][0]["emoji"]) == (["attachments"], 2, "👍")
        assert [await read_by(node, bob, each.id) for each in sent.attachments] == [b"one", b"two"]


async def test_what_cannot_be_put_there_leaves_nothing(settings: Settings) -> None:
    """Others' messages, those that tell of the channel, nowhere and both; each says why, and no byte is kept."""
    async with opened(settings) as node:
        ana, bob, eve = [await person(node, name) for name in ("ana", "bob", "eve")]
        room = await channel(node, ana, bob)
        message = int((await say(node, ana, room)).id)
        (made,) = (await node.core.messages.read(ana, room, before=None, after=None, around=None, limit=50)).messages[:1]
        before = await position(node)
        refused: list[tuple[Actor, dict[str, Any], type[Exception]]] = [
            (bob, {"message_id": message}, Forbidden), (eve, {"channel_id": room}, Forbidden), (ana, {"message_id": int(made.id)}, Invalid),
            (ana, {}, Invalid), (ana, {"message_id": message, "channel_id": room}, Invalid), (ana, {"message_id": 5}, NotFound),
            (ana, {"channel_id": 5}, NotFound),
        ]  # fmt: skip
        for who, where, error in refused:
            with pytest.raises(error):
                await put(node, who, "a", b"a", **where)
        with pytest.raises(TooLarge):
            await put(node, ana, "a", b"a", channel_id=room, contents="x" * 16_001)
        await node.core.archiving.archive(ana, room)
        wheres: list[dict[str, Any]] = [{"channel_id": room}, {"message_id": message}]
        for where in wheres:
            with pytest.raises(Gone):
                await put(node, ana, "a", b"a", **where)
        assert names(await events(node, before)) == ["channel archived"]
        assert kept(node) == []


async def test_a_message_bears_only_so_many(settings: Settings) -> None:
    """One file too many is refused, and is not kept."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        message = await put(node, ana, "0", b"0", channel_id=await channel(node, ana))
        for number in range(1, FILES_MAX):
            await put(node, ana, str(number), b"x", message_id=int(message.id))
        with pytest.raises(Invalid):
            await put(node, ana, "more", b"x", message_id=int(message.id))
        assert len(kept(node)) == FILES_MAX


async def test_too_large_and_empty_files_are_refused(settings: Settings) -> None:
    """The limit is counted as bytes come; a file of just that size is taken. Of a refused one nothing is left."""
    small = settings.model_copy(update={"files": Files(upload_bytes=5000)})
    async with opened(small) as node:
        ana = await person(node, "ana")
        room = await channel(node, ana)
        for body, error in ((b"x" * 5001, TooLarge), (b"", Invalid)):
            with pytest.raises(error) as refused:
                await put(node, ana, "a", body, channel_id=room)
            assert refused.value.field == "upload"
            assert kept(node) == []
        await put(node, ana, "a", b"x" * 5000, channel_id=room)


async def test_a_repeat_is_no_second_file(settings: Settings) -> None:
    """The same key with the same bytes gives the first message, `duplicate`; with other bytes a refusal. Neither keeps a byte more."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        room = await channel(node, ana)
        message = int((await say(node, ana, room)).id)
        wheres: list[dict[str, Any]] = [{"channel_id": room}, {"message_id": message}]
        for where in wheres:
            first_key, other_key = [request_key(ana.scope, f"k{len(where)}{[*where]}", "message/attach", body) for body in "ab"]
            first = await put(node, ana, "a", b"a", key=first_key, **where)
            before, files = await position(node), kept(node)
            again = await put(node, ana, "a", b"a", key=first_key, **where)
            assert (again.id, again.duplicate, again.attachments) == (first.id, True, first.attachments)
            with pytest.raises(IdempotencyMismatch):
                await put(node, ana, "a", b"b", key=other_key, **where)
            assert (await position(node), kept(node)) == (before, files)


async def test_names_cannot_do_harm(settings: Settings) -> None:
    """Folders, control and direction characters are left out; what has no name gets one; a long one keeps its end."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        message = int((await say(node, ana, await channel(node, ana))).id)
        given = ["..\\..\\boot.ini", "a\x00b\r\nc.txt", "\u202egnp.exe", "..", "", f"{'ж' * 300}.tar.gz", "ça va.pdf"]
        shown = [(await put(node, ana, name, b"x", message_id=message)).attachments[-1].name for name in given]
        expected = ["boot.ini", "a b c.txt", "gnp.exe", "file", "file", f"{'ж' * 252}.gz", "ça va.pdf"]
        assert shown == expected


# ---- reading


async def test_who_sees_the_message_reads_the_file(settings: Settings) -> None:
    """Asked anew on every read: members, and nobody else; not after they parted; after a merge, those of the destination."""
    async with opened(settings) as node:
        ana, bob, eve = [await person(node, name) for name in ("ana", "bob", "eve")]
        room, other = await channel(node, ana, bob, type_="private"), await channel(node, ana, eve, type_="private", name="other")
        file = (await put(node, ana, "a.png", pictures.picture(300, 200), channel_id=room)).attachments[0]

        async def can(who: Actor) -> bool:
            try:
                await node.core.files.preview(who, int(file.id), 480)
                await node.core.files.read(who, int(file.id))
            except NotFound:
                return False
            return True

        assert [await can(who) for who in (ana, bob, eve)] == [True, True, False]
        await node.core.channels.kick(ana, room, bob.user_id)
        assert not await can(bob)
        await node.core.merging.merge(ana, other, room)
        assert [await can(who) for who in (ana, bob, eve)] == [True, False, True]


async def test_an_archived_channels_files_are_read(settings: Settings) -> None:
    """Archiving changes what may be changed, not what may be read; removal ends that, and the sweep takes the bytes."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        room = await channel(node, ana)
        file = (await put(node, ana, "a.bin", BYTES, channel_id=room)).attachments[0]
        await node.core.archiving.archive(ana, room)
        assert await read_by(node, ana, file.id) == BYTES
        await node.core.archiving.remove(ana, room)
        with pytest.raises(NotFound):
            await read_by(node, ana, file.id)
        age(node)
        assert await node.core.files.sweep() == 1
        assert kept(node) == []


async def test_a_channel_that_moves_takes_its_files_along(settings: Settings) -> None:
    """Into another organisation: who is in it reads them, who was left behind does not."""
    async with opened(settings) as node:
        root = await person(node, "root", is_admin=True)
        ana, bob = await person(node, "ana"), await person(node, "bob")
        room = await channel(node, root, ana, bob)
        file = (await put(node, ana, "a.bin", BYTES, channel_id=room)).attachments[0]
        await node.core.moving.move(root, room, team_id=None, organisation_id=await organisation(node, root, ana))
        assert await read_by(node, ana, file.id) == BYTES
        with pytest.raises(NotFound):
            await read_by(node, bob, file.id)


async def test_a_part_is_read(settings: Settings) -> None:
    """Any [start, end), over the borders of what is read at once."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        body = os.urandom(200_000)
        file = (await put(node, ana, "a.bin", body, channel_id=await channel(node, ana))).attachments[0]
        content = await node.core.files.read(ana, int(file.id))
        for start, end in ((0, 1), (65_535, 65_537), (10, 190_000), (199_999, 200_000)):
            assert b"".join([chunk async for chunk in content.read(start, end)]) == body[start:end]


async def test_lost_bytes_are_said_to_be_lost(settings: Settings) -> None:
    """A disk that lost a file is no error without a name."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        file = (await put(node, ana, "a.bin", BYTES, channel_id=await channel(node, ana))).attachments[0]
        kept(node)[0].unlink()
        with pytest.raises(Gone):
            await read_by(node, ana, file.id)


@pytest.mark.parametrize(
    ("body", "media_type", "inline"),
    [
        (b"plain words, \xc3\xa4 too", "text/plain", True),
        (b"<script>alert(1)</script>", "text/plain", False),
        (b"hi <SVG onload=alert(1)>", "text/plain", False),
        (b"<?xml version='1.0'?><a/>", "text/plain", False),
        (b"%PDF-1.7 script inside", "application/pdf", False),
        (b"PK\x03\x04 rest", "application/zip", False),
        (b"\x00\x00\x00\x18ftypmp42", "video/mp4", True),
        (b"GIF89a<script>alert(1)</script>", "image/gif", True),
    ],
)
async def test_only_what_cannot_act_is_shown_in_place(settings: Settings, body: bytes, media_type: str, inline: bool) -> None:
    """The type is what the bytes are, whatever the name says; markup is text, to be saved."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        file = (await put(node, ana, "page.html", body, channel_id=await channel(node, ana))).attachments[0]
        content = await node.core.files.read(ana, int(file.id))
        assert (file.media_type, content.media_type, content.inline) == (media_type, media_type, inline)


# ---- finding


async def test_files_are_found_by_name_and_kind(settings: Settings) -> None:
    """A posted one and an attached one alike, in the change that puts them there; an edit keeps the names, a removal nothing."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        room = await channel(node, ana)
        plain, said = await say(node, ana, room, "nothing here"), await say(node, ana, room, "harmless words")
        posted = await put(node, ana, "Jahresbericht.pdf", b"%PDF-1.7", channel_id=room, contents="the numbers")
        await put(node, ana, "Ausflug.png", pictures.picture(20, 10), message_id=int(said.id))
        await put(node, ana, "Größe.txt", b"words", message_id=int(said.id))
        assert await found(node, ana, "jahresbericht") == await found(node, ana, "numbers") == [posted.id]
        assert await found(node, ana, "ausflug") == await found(node, ana, "grosse") == await found(node, ana, "harmless") == [said.id]
        assert await found(node, ana, "has:file") == [posted.id, said.id]
        shown = await put(node, ana, "Strand.png", pictures.picture(20, 10), channel_id=room)
        assert await found(node, ana, message_type="media") == [shown.id]
        assert await found(node, ana, message_type="attachment") == [shown.id, posted.id]
        await put(node, ana, "Umschlag.png", pictures.picture(20, 10), message_id=int(posted.id))
        assert await found(node, ana, message_type="media") == [shown.id, posted.id]
        await node.core.messages.remove(ana, int(shown.id))
        assert await found(node, ana, "-has:file nothing") == [plain.id]
        await node.core.messages.edit(ana, int(said.id), "other words", None)
        assert await found(node, ana, "ausflug has:file") == await found(node, ana, "other") == [said.id]
        await node.core.messages.remove(ana, int(said.id))
        assert await found(node, ana, "ausflug") == []
        assert await found(node, ana, "has:file") == [posted.id]


# ---- removing


async def test_with_its_message_a_file_is_gone_from_everywhere(settings: Settings) -> None:
    """Row, bytes, previews, and what earlier events told of it."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        room = await channel(node, ana)
        message = await put(node, ana, "quellwolke.png", pictures.picture(300, 200), channel_id=room)
        await put(node, ana, "quellwolke.txt", b"words", message_id=int(message.id))
        assert len(kept(node)) == 3
        await node.core.messages.remove(ana, int(message.id))
        assert kept(node) == []
        assert not [event for event in await events(node) if b"quellwolke" in bytes(event.body)]
        assert await node.database.fetch("SELECT * FROM file") == []
        with pytest.raises(NotFound):
            await node.core.files.read(ana, int(message.attachments[0].id))


async def test_the_sweep_takes_old_orphans_alone(settings: Settings) -> None:
    """Not what is on a message, however old, with its previews; not what is so young that its message may be about to come."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        room = await channel(node, ana)
        file = (await put(node, ana, "a.png", pictures.picture(300, 200), channel_id=room)).attachments[0]
        mine, root = kept(node), node.settings.effective_files_dir
        orphans = [root / ".spool" / "dead", root / "ab" / "abcd", root / "ab" / "abcd.480"]
        for path in orphans:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x")
        assert await node.core.files.sweep() == 0
        age(node)
        young = root / "ab" / "young"
        young.write_bytes(b"x")
        assert await node.core.files.sweep() == 3
        assert kept(node) == sorted([*mine, young])
        await node.core.files.preview(ana, int(file.id), 480)


async def test_a_place_that_fails_is_said_to_be_unavailable(settings: Settings) -> None:
    """A folder that cannot be written: 503, nothing stored; the database is not blamed."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        room = await channel(node, ana)
        node.settings.effective_files_dir.parent.mkdir(exist_ok=True)
        node.settings.effective_files_dir.write_text("no folder")
        before = await position(node)
        with pytest.raises(Unavailable, match="could not be stored"):
            await put(node, ana, "a", b"a", channel_id=room)
        assert await position(node) == before
