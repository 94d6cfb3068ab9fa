"""The users as which plugins act: a bot for each instance, made when it is first at work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from crust.errors import Conflict, Forbidden, NotFound
from crust.log import Change, Log
from crust.models.database import Database, Row
from crust.services import keys, names
from crust.services.accounts import Accounts, Place, home_organisation
from crust.services.actor import Actor
from crust.services.keys import Key
from crust.services.members import Members
from crust.services.rights import may
from crust.services.standing import STANDING, STANDINGS, standing

ORGANISATIONS = "SELECT id, name_key FROM organisation WHERE removed_at IS NULL"


@dataclass(frozen=True, slots=True)
class Bot:
    """An instance's user, and the organisations that it is at work in."""

    actor: Actor
    organisations: frozenset[int]


class Bots:
    """See the module."""

    def __init__(self, database: Database, log: Log, accounts: Accounts, members: Members) -> None:
        self._database, self._log, self._accounts, self._members = database, log, accounts, members
        self._looks: dict[Bot, tuple[set[int], asyncio.Task[set[int]]]] = {}

    async def of(self, instance: str, organisations: Sequence[str] = ()) -> Bot:
        """The bot of an instance, made and brought into organisations where it is not yet.

        Args:
            organisations: names or ids; none: the home organisation.

        Raises:
            NotFound: there is no such organisation, or none at all.
            Conflict: a name is that of several organisations; or somebody else has the bot's username.
        """
        places = await self.organisations(organisations)
        key = Key(scope_of(instance), "bot", keys.fingerprint("plugin/bot"))
        user_id = await keys.result(self._database, key)
        if user_id is None or await self._absent(places, user_id):
            async with self._log.change() as change:
                user_id = await self._made(change, instance, places, key)
        return Bot(Actor(user_id, instance, 0, f"plugin-{instance}"[:64]), frozenset(places))

    async def _made(self, change: Change, instance: str, places: Sequence[int], key: Key) -> int:
        user_id = await keys.result(self._database, key)  # another process may have been faster
        if user_id is None:
            try:
                made = await self._accounts.enrol(change, instance, instance, None, None, kind="bot", place=Place(places[0], "member"))
            except Conflict:
                taken = f"The username {instance} is somebody's: give the plugin's table another name, such as {instance[:28]}-bot."
                raise Conflict(taken) from None
            user_id = int(made.id)
            keys.keep(change, key, user_id)
        for place in await self._absent(places, user_id):
            await self._members.join_organisation(change, place, user_id, "member", by=user_id)
        return user_id

    async def _absent(self, places: Sequence[int], user_id: int) -> list[int]:
        """The organisations that it is not in."""
        return [place for place in places if not await self._members.roles(place, [user_id])]

    async def organisations(self, wanted: Sequence[str]) -> list[int]:
        """The ids of these, by their names or ids; of none the home organisation's. Raises as `of` does."""
        if not wanted:
            home = await home_organisation()
            if home is None:
                raise NotFound("There is no organisation yet: it begins with the first account.")
            return [home]
        rows = await self._database.fetch(ORGANISATIONS)
        return list(dict.fromkeys(one_of(rows, each) for each in wanted))

    # ---- what it sees

    async def sees(self, bot: Bot, channel_id: int) -> bool:
        """Whether it may know of what happens in a channel, as things are now. Who asks at the same time is answered with one look."""
        if bot not in self._looks:
            together: set[int] = set()
            self._looks[bot] = together, asyncio.create_task(self._look(bot, together))
        asked, look = self._looks[bot]
        asked.add(channel_id)
        return channel_id in await asyncio.shield(look)

    async def _look(self, bot: Bot, asked: set[int]) -> set[int]:
        """Which of the channels that are asked for in this turn of the loop it sees."""
        await asyncio.sleep(0)
        del self._looks[bot]
        d = self._database
        rows = await d.fetch(
            f"{STANDINGS} AND c.id IN (SELECT coalesce(f.merged_into, f.id) FROM channel f WHERE f.id IN {d.any_of(2)})",
            bot.actor.user_id,
            d.as_list(sorted(asked)),
        )
        own = [row for row in rows if row["organisation_id"] in bot.organisations and row["suspended_at"] is None]
        seen = {row["id"] for row in own if standing(row).sees}
        if asked <= seen:
            return seen
        moved = await d.fetch(f"SELECT id, merged_into FROM channel WHERE id IN {d.any_of(1)}", d.as_list(sorted(asked)))
        return seen | {row["id"] for row in moved if row["merged_into"] in seen}

    async def belongs(self, bot: Bot, organisation_id: int) -> bool:
        """Whether it is still in an organisation."""
        return (await self._members.membership(bot.actor.user_id, organisation_id)).role is not None

    async def check_place(self, bot: Bot, channel_id: int, verb: str) -> str:
        """Refuse what is to be done elsewhere than in its organisations, whatever it may have been invited to since. Gives the type.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
        """
        rows = await self._database.fetch(STANDING, bot.actor.user_id, channel_id)
        if not rows:
            raise NotFound("There is no such channel.", field="channel_id")
        if rows[0]["organisation_id"] not in bot.organisations:
            raise Forbidden("This channel is in an organisation that the plugin is not configured for.")
        if rows[0]["suspended_at"] is not None:
            raise Forbidden("The plugin's bot is suspended.")
        may(verb, standing(rows[0]))
        return str(rows[0]["type"])

    # ---- what it has done

    async def done(self, key: Key | None) -> int | None:
        """What something that it did before has led to."""
        return await keys.result(self._database, key)


def scope_of(instance: str) -> str:
    """The scope of an instance's idempotency keys."""
    return f"plugin:{instance}"


def one_of(rows: Sequence[Row], wanted: str) -> int:
    """The organisation of this name or id.

    Raises:
        NotFound, Conflict: see `Bots.of`.
    """
    found = [int(row["id"]) for row in rows if str(row["id"]) == wanted] or [
        int(row["id"]) for row in rows if row["name_key"] == names.fold(wanted)
    ]
    if not found:
        raise NotFound(f"There is no organisation {wanted!r}.")
    if len(found) > 1:
        raise Conflict(f"Several organisations are called {wanted!r}: name it by its id.")
    return found[0]
