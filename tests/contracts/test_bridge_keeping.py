"""What is kept of bridges: through exports, imports and backups, and what goes with a message or a channel that is removed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crust.errors import Unauthenticated
from crust.operations.backup import back_up, restore
from crust.operations.progress import Step
from crust.runtime import Node, opened
from crust.services.incoming import Incoming, Trust
from crust.services.links import Wish
from crust.services.parts import OUT, Part, recorded
from crust.services.remotes import Remote as Somebody
from crust.settings import Settings
from tests.contracts.test_bridges import ANN, toy_at
from tests.contracts.test_bridges_outward import toy_at as at_work
from tests.support.bridges import bridged, linked
from tests.support.people import channel, person, say
from tests.support.transfer import exported, imported, records

pytestmark = pytest.mark.asyncio


@pytest.fixture
def empty(settings: Settings, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Another database of the same kind, with nothing in it."""
    url = request.getfixturevalue("another_postgres_url") if settings.database_url else ""
    return settings.model_copy(update={"data_dir": tmp_path / "elsewhere", "database_url": url})


def quiet(_step: Step) -> None:
    """Nobody watches."""


async def parts(node: Node) -> int:
    return len(await node.database.fetch("SELECT 1 FROM message_part"))


# ---- elsewhere


async def test_ghosts_go_out_and_come_in_as_ghosts(settings: Settings, empty: Settings) -> None:
    """With what they said and where they were; nobody signs in as one; a channel comes without its links, once and again."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        await toy.bridge.inject(link, ANN, "hello", "m1")
        await toy.bridge.react(link, ANN, "m1", ":+1:")
    lines = await exported(settings)
    [ghost] = [each for each in records(lines) if each.get("kind") == "ghost"]
    assert (ghost["username"], ghost["origin"]) == ("Ann:toy.example", "toy.example")
    assert b"#toy" not in lines.replace(b"#toy is", b""), "no link goes out"
    async with opened(empty) as node:
        await imported(node, lines)
        assert (await imported(node, lines)).made.total() == 0
        [row] = await node.database.fetch("""SELECT id, kind, origin FROM "user" WHERE kind = 'ghost'""")
        said = await node.database.fetch("SELECT contents FROM message WHERE user_id = $1 AND type = 'MESSAGE'", row["id"])
        assert ([each["contents"] for each in said], row["origin"]) == (["hello"], "toy.example")
        [room] = await node.database.fetch("SELECT bridged, members_count FROM channel WHERE name = 'room'")
        assert (room["bridged"], await node.core.links.of_bridge("toy")) == ("[]", [])
        with pytest.raises(Unauthenticated):
            await node.core.sessions.sign_in("Ann:toy.example", "correct horse", None, "", "")


async def test_who_was_imported_is_not_taken_over(settings: Settings, empty: Settings) -> None:
    """A name alone says of nobody who they are: who comes over a new link is a ghost of their own, and the old one's words stay theirs."""
    async with toy_at(settings) as toy:
        await toy.bridge.inject(await toy.linked(), ANN, "before", "m1")
    lines = await exported(settings)
    async with opened(empty) as node:
        await imported(node, lines)
        [room] = await node.database.fetch("SELECT id FROM channel WHERE name = 'room'")
        bridged(node, (await person(node, "again")).user_id)
        came = Incoming(link=await linked(node, room["id"]), author=Somebody(id=ANN.id, name=ANN.name), trust=Trust(), via=())
        await node.core.injects.post(came, "after", "m1")
        sql = (
            """SELECT u.username FROM message m JOIN "user" u ON u.id = m.user_id WHERE u.kind = 'ghost' AND m.contents <> '' """
            "ORDER BY m.id"
        )
        assert [row["username"] for row in await node.database.fetch(sql)] == ["Ann:toy.example", "Ann-2:toy.example"]


async def test_a_backup_has_all_of_it(settings: Settings, empty: Settings, tmp_path: Path) -> None:
    """Links, ghosts and parts: what is told again after a restore is known, and its author is who they were."""
    async with toy_at(settings) as toy:
        first = await toy.bridge.inject(await toy.linked(), ANN, "hello", "m1")
    await back_up(settings, tmp_path / "backup", quiet)
    await restore(empty, tmp_path / "backup", quiet)
    async with opened(empty) as node:
        [link] = await node.core.links.of_bridge("toy")
        assert (link.remote_room, await node.core.ghosts.present(link)) == ("#toy", [ANN.id])
        part = await node.core.injects.parts.found(link.id, "m1")
        assert part is not None
        assert str(part["message_id"]) == first.message_id


# ---- removed


async def test_parts_go_with_what_was_removed_there(settings: Settings) -> None:
    """Removed over its link, nothing is known of it but that it came: told again it is not posted, and its removal is no error."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        await toy.bridge.inject(link, ANN, "hello", "m1")
        assert await parts(toy.node) == 1
        for _ in range(2):
            await toy.bridge.remove(link, ANN, "m1")
            assert await parts(toy.node) == 0
        assert (await toy.bridge.inject(link, ANN, "hello", "m1")).state == "duplicate"
        assert await toy.texts() == []


async def test_parts_go_with_what_was_removed_here(settings: Settings) -> None:
    """As soon as the removal has gone out over each link; over links that let only in, or have ended, at once."""
    async with at_work(settings) as toy:
        await toy.linked("#both")
        await toy.linked("#in", direction="in")
        ended = await toy.linked("#ended")
        said = await toy.say("one\ntwo")
        await toy.comes("say", "Cy", "from there", room="#in")
        node = toy.at.node
        await toy.at.settled("toy")
        assert await parts(node) == 2 + 2 + 3, "ours in two rooms of two lines each, theirs there and in the two others"
        await node.core.links.unlink(toy.ana, ended)
        [theirs] = await node.database.fetch("SELECT id FROM message WHERE contents = 'from there'")
        for message in (said, theirs["id"]):
            await node.core.messages.remove(toy.ana, message)
        await toy.at.settled("toy")
        assert len(toy.done("remove")) == 2
        assert await parts(node) == 0


async def test_parts_go_with_a_channel(settings: Settings) -> None:
    """Of a removed channel nothing is left to tell what was where."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        await toy.bridge.inject(link, ANN, "hello", "m1")
        ours = await say(toy.node, toy.ana, toy.room, "ours")
        async with toy.node.database.transaction():
            await toy.node.database.run([recorded([(Part(link_id=int(link.id), remote_id="o1", direction=OUT), int(ours.id))])])
        await toy.node.core.archiving.remove(toy.ana, toy.room)
        await toy.node.core.erasing.run()
        assert await parts(toy.node) == 0


async def test_old_removals_are_not_put_into_words(settings: Settings) -> None:
    """Where removals cross as words: of today's message it is said; of what retention takes back nothing is, and no part is left."""
    async with at_work(settings) as toy:
        link, node, [bridge] = await toy.linked(), toy.at.node, toy.at.host.instances
        known = await node.core.links.one(link)
        await node.core.links.cross(known, {**known.crossings, "remove": "fallback"})
        bridge.wanted = replace(bridge.wanted, hooks=bridge.wanted.hooks - {"send_removal"})
        old = await toy.say("old")
        toy.at.clock.advance(2 * 86_400)
        new = await toy.say("new")
        await node.core.messages.remove_old([old])
        await node.core.messages.remove(toy.ana, new)
        await toy.at.settled("toy")
        assert toy.network.said("#toy") == ["ana: old", "ana: new", "ana: removed a message"]
        assert await parts(node) == 0


async def test_links_outlive_a_merge_and_a_restart(settings: Settings) -> None:
    """A channel that was merged has its links as the other's; the settings that still name it mean that one, and nothing ends."""
    async with toy_at(settings) as toy:
        core, source = toy.node.core, await channel(toy.node, toy.ana, name="source")
        wanted = [("source", Wish(room="#toy"))]
        assert await core.configured.configure(toy.known, wanted) == []
        await core.merging.merge(toy.ana, toy.room, source)
        assert await core.configured.configure(toy.known, wanted) == []
        assert [(each.remote_room, each.channel_id) for each in await core.links.of_bridge("toy")] == [("#toy", toy.room)]
