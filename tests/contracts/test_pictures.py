"""Pictures on messages, shown small, and avatars: what is shown is made anew, tells nothing more, and is there for whoever may see it."""

from __future__ import annotations

import asyncio
import json

import pytest

from crust.errors import Invalid, NotFound
from crust.runtime import opened
from crust.settings import Settings
from tests.support import pictures
from tests.support.files import age, kept, read, read_by
from tests.support.people import channel, events, names, person, position, put, show

pytestmark = pytest.mark.asyncio

# ---- pictures


async def test_a_picture_is_shown_small(settings: Settings) -> None:
    """Its dimensions are those of how it is looked at; its previews tell nothing that was said beside it; each is made once, and anew."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        sent = pictures.telling(1600, 800, orientation=6)
        file = (await put(node, ana, "a.jpg", sent, channel_id=await channel(node, ana))).attachments[0]
        assert (file.media_type, file.width, file.height, file.preview) == ("image/jpeg", 800, 1600, f"/file/preview?id={file.id}")
        for _ in range(2):
            for wanted, size in ((1, (80, 160)), (480, (240, 480)), (481, (640, 1280))):
                content = await node.core.files.preview(ana, int(file.id), wanted)
                small = pictures.opened(await read(content))
                assert (small.format, small.size, content.media_type, content.name) == ("WEBP", size, "image/webp", "a.webp")
                assert not small.getexif()
                assert pictures.PLACE.encode() not in await read(content)
            assert len(kept(node)) == 4
            for path in kept(node):
                if path.suffix:
                    path.unlink()


@pytest.mark.parametrize(
    "body",
    [
        pictures.picture(300, 200, "JPEG")[:2000], pictures.picture(300, 200)[:200], pictures.bomb(20_000), pictures.bomb(6_000),
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 5000, b"GIF89a" + b"\0" * 50, b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"II*\0" + b"\xff" * 500,
    ],
)  # fmt: skip
async def test_a_hostile_picture_is_a_file_like_any_other(settings: Settings, body: bytes) -> None:
    """It is stored and read; it has no preview, which is said; the next picture has one."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        message = await put(node, ana, "a.png", body, channel_id=await channel(node, ana))
        file = message.attachments[0]
        assert file.media_type.startswith("image/")
        assert (file.width, file.height, file.preview) == (None, None, None)
        with pytest.raises(NotFound, match="preview"):
            await node.core.files.preview(ana, int(file.id), 480)
        assert await read_by(node, ana, file.id) == body
        assert len(kept(node)) == 1
        good = await put(node, ana, "b.png", pictures.picture(30, 20), message_id=int(message.id))
        assert good.attachments[1].width == 30


async def test_a_preview_that_many_ask_for_is_made_once(settings: Settings) -> None:
    """All get it."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        file = (await put(node, ana, "a.png", pictures.picture(600, 300), channel_id=await channel(node, ana))).attachments[0]
        asked = await asyncio.gather(*(node.core.files.preview(ana, int(file.id), 160) for _ in range(10)))
        assert len({await read(content) for content in asked}) == 1


# ---- avatars


async def test_an_avatar_is_a_small_square_made_anew(settings: Settings) -> None:
    """It tells nothing beside the picture; everybody in the organisation is told where it is, and no one else reads it."""
    async with opened(settings) as node:
        root, ana, eve = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "eve")
        home = int((await node.core.accounts.me(root)).organisation_id or 0)
        before = await position(node)
        me = await show(node, ana, pictures.telling(400, 200, orientation=6))
        (event,) = await events(node, before)
        assert me.avatar is not None
        avatar_id = int(me.avatar.removeprefix("/file/avatar?id="))
        assert (names([event]), json.loads(bytes(event.body))["avatar"]) == (["user edited"], me.avatar)
        assert (await node.core.profiles.read(eve, ana.user_id)).avatar == me.avatar
        data = await read(await node.core.avatars.read(eve, avatar_id))
        assert (pictures.opened(data).size, pictures.opened(data).format) == ((256, 256), "WEBP")
        assert pictures.PLACE.encode() not in data
        with pytest.raises(NotFound):
            await node.core.files.read(ana, avatar_id)
        await node.core.organisations.expel(root, home, eve.user_id)
        with pytest.raises(NotFound):
            await node.core.avatars.read(eve, avatar_id)


async def test_an_avatar_takes_the_place_of_the_last_one(settings: Settings) -> None:
    """Whose bytes are gone; the sweep leaves the one that is shown; removed, nothing is left, and again is no error."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        first = (await show(node, ana, pictures.picture(40, 40))).avatar
        second = (await show(node, ana, pictures.picture(400, 40))).avatar
        assert first != second
        with pytest.raises(NotFound):
            await node.core.avatars.read(ana, int((first or "").partition("=")[2]))
        age(node)
        assert (await node.core.files.sweep(), len(kept(node))) == (0, 1)
        before = await position(node)
        for _ in range(2):
            await node.core.avatars.remove(ana)
        assert names(await events(node, before)) == ["user edited"]
        assert ((await node.core.accounts.me(ana)).avatar, kept(node)) == (None, [])


@pytest.mark.parametrize("body", [b"<svg onload=alert(1)>", b"%PDF-1.7", pictures.bomb(20_000), pictures.picture(30, 30)[:60]])
async def test_what_is_no_picture_is_no_avatar(settings: Settings, body: bytes) -> None:
    """It is said, and nothing of it is kept."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        before = await position(node)
        with pytest.raises(Invalid) as refused:
            await show(node, ana, body)
        assert refused.value.field == "upload"
        assert (await position(node), kept(node)) == (before, [])
