"""People in every role, and the things that calls are aimed at, made when they are asked for and anew after they were changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crust.runtime import Node
from crust.services.actor import Actor
from tests.support.bridges import bridged, linked
from tests.support.people import person, put, say, show
from tests.support.pictures import picture

INSIDE = ("guest", "member", "keeper", "admin", "owner")
"""Roles in an organisation; `keeper` is a member who owns its channels."""

OUTSIDE = ("nobody", "suspended", "outsider", "server")
"""Who is in it no more, or never was: `outsider` owns another one, `server` administers the server."""

ROLES = (*OUTSIDE, *INSIDE)
WORD = "Quellwolke"  # in all that is said and named
OURS = {
    "guest": "guest", "member": "member", "keeper": "member", "admin": "admin", "owner": "owner",
    "author": "member", "newcomer": "member", "second": "owner",
}  # fmt: skip
"""Who is in our organisations, as what: the roles, who said things, who is in no channel, and one more owner."""

THEIRS = {"outsider": "owner", "stranger": "member"}
OF_EACH = ("own", "other", "author", "pinned", "session", "invitation")  # things that are different ones for each role


@dataclass
class Place:
    """An organisation, who is in it, and two teams: that of the channels, and another one of the keeper's."""

    id: int
    people: dict[str, Actor]
    team: int = 0
    other_team: int = 0
    frozen: bool = False


@dataclass
class Things:
    """What there is of a kind: ids by name."""

    kind: str
    place: Place
    ids: dict[str, str] = field(default_factory=dict)


class Scene:
    """See the module.

    Args:
        node: an empty server.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.actors: dict[str, Actor] = {}
        self.secrets: dict[str, str] = {}
        self._theirs = Place(0, {})
        self._things: dict[tuple[str, str], Things] = {}

    # ---- people and organisations

    async def begin(self) -> None:
        """Make everybody, and an organisation that those of ours are not in."""
        for name in ("maker", "server", *OURS, *THEIRS, "suspended", "invited", "hermit"):
            await person(self.node, name, is_admin=name in ("maker", "server"))
            self.secrets[name], self.actors[name] = await self.sign_in(name)
        home = int((await self.node.core.accounts.me(self.actors["maker"])).organisation_id or 0)
        self._theirs = await self._place(THEIRS)
        self._theirs.people |= {"keeper": self.actors["outsider"], "author": self.actors["stranger"], "owner": self.actors["outsider"]}
        await self._place({**OURS, "suspended": "member"})
        await self._place({**OURS, "invited": "member"})  # from where ours know who is to be invited
        for name in (*OURS, *THEIRS, "suspended", "invited", "hermit"):
            await self.node.core.organisations.expel(self.actors[name], home, self.actors[name].user_id)
        await self.node.core.profiles.suspend("suspended")
        bridged(self.node, (await person(self.node, "toy")).user_id)

    async def sign_in(self, name: str) -> tuple[str, Actor]:
        """A new session: its secret, and who has it."""
        signed_in = await self.node.core.sessions.sign_in(name, "correct horse", f"client-{name}", "192.0.2.1", "")
        return signed_in.secret, signed_in.actor

    async def _place(self, roles: Mapping[str, str]) -> Place:
        node, maker = self.node, self.actors["maker"]
        made = int((await node.core.organisations.create(maker, WORD, None)).id)
        for name, role in roles.items():
            await node.core.organisations.invite(maker, made, user_id=self.actors[name].user_id, email=None, role=role)
        await node.core.organisations.expel(maker, made, maker.user_id)
        place = Place(made, {name: self.actors[name] for name in roles})
        place.team = int(await self._new_team(place, "member", "keeper", "author"))
        place.other_team = int(await self._new_team(place, "keeper"))
        return place

    async def _new_team(self, place: Place, *members: str) -> str:
        ids = [place.people[name].user_id for name in members if name in place.people]
        owner = next(place.people[name] for name in ("owner", "outsider") if name in place.people)
        return (await self.node.core.teams.create(owner, WORD, ids, place.id, None)).id

    # ---- things

    async def id_of(self, table: str, kind: str, name: str, role: str) -> str:
        """The id of a thing of a kind, made if need be.

        Args:
            table: what is made anew after a change: "organisations" with all that is in them; else what is in them.
            role: who asks.
        """
        things = self._things.get((table, kind))
        if things is None:
            place = self._theirs if kind == "foreign" else await self._place(OURS)
            things = self._things[table, kind] = Things(kind, place)
        key = f"{name} for {role}" if name in OF_EACH else name
        if key not in things.ids:
            await self._freeze(things.place, frozen=False)
            made = await self._make(things, name, role)
            things.ids.setdefault(key, made)
        await self._freeze(things.place, frozen=kind == "frozen")
        return things.ids[key]

    async def secret(self) -> str:
        """That of a link into the organisation that those of ours are not in."""
        made = await self.node.core.invitations.make(self._theirs.people["owner"], self._theirs.id, role="member", email=None, uses=1)
        return made.url.partition("token=")[2]

    def changed(self, table: str, kind: str) -> None:
        """Say that something has been changed: what is asked for next is made anew."""
        if table == "organisations":
            del self._things[table, kind]
        else:
            self._things[table, kind].ids.clear()

    async def _freeze(self, place: Place, *, frozen: bool) -> None:
        if place.frozen != frozen:
            await self.node.core.organisations.archive(place.people["owner"], place.id, archived=frozen)
            place.frozen = frozen

    async def _make(self, things: Things, name: str, role: str) -> str:
        place = things.place
        match name:
            case "place":
                return str(place.id)
            case "theirs":
                return str(self._theirs.id)
            case "their_channel" | "their_message" | "their_team":
                names = {"their_channel": "channel", "their_message": "other", "their_team": "team"}
                return await self.id_of("theirs", "foreign", names[name], "guest")
            case "channel":
                return await self._channel(things)
            case "spare":
                return await self._channel(Things(things.kind, place))
            case "team" | "spare_team":
                return await self._team(things)
            case "its_team":
                return str(place.team)
            case "other_team":
                return str(place.other_team)
            case "author":
                return str(self._author(things, role).user_id)
            case "newcomer" | "second":
                return str((place.people.get(name) or self.actors[name]).user_id)
            case "invited" | "hermit":
                return str(self.actors[name].user_id)
            case "avatar":
                return ((await show(self.node, place.people["author"], picture(8, 8))).avatar or "").partition("=")[2]
            case "invitation":
                owner = place.people["owner"]
                return (await self.node.core.invitations.make(owner, place.id, role="member", email=None, uses=9)).id
            case "link" if things.kind == "direct":
                return "4611686018427387903"  # nothing has this id: what is direct is linked with nothing
            case "link":
                channel = await self.id_of_channel(things)
                return str((await linked(self.node, int(channel))).id)
            case "session":
                return str((await self.sign_in(role))[1].session_id)
            case _:
                await self.id_of_channel(things)
                return things.ids.get(name) or things.ids.get(f"{name} for {role}") or await self._said(things, name, role)

    async def id_of_channel(self, things: Things) -> str:
        """That of the channel of a kind, made if need be."""
        if "channel" not in things.ids:
            things.ids["channel"] = await self._channel(things)
        return things.ids["channel"]

    async def _team(self, things: Things) -> str:
        made = await self._new_team(things.place, "member", "keeper", "author")
        if things.kind == "archived":
            await self.node.core.teams.archive(things.place.people["owner"], int(made), archived=True)
        return made

    async def _channel(self, things: Things) -> str:
        """A channel of the kind. Public and private ones have the guest, the member, the keeper and the author in it."""
        people, kind = things.place.people, things.kind
        among = {"unjoined": ["author"], "closed": [], "direct": ["member"], "inside": ["guest", "member", "author", "admin", "owner"]}
        members = [people[name].user_id for name in among.get(kind, ["guest", "member", "author"]) if name in people]
        team = {"direct": None, "closed": int(await self._new_team(things.place, "author"))}.get(kind, things.place.team)
        made = await self.node.core.channels.create(
            people["author" if kind == "closed" else "keeper"], name=WORD, topic=WORD,
            type_={"private": "private", "inside": "private", "direct": "direct"}.get(kind, "public"),
            organisation_id=things.place.id, members=members, key=None, team_id=team,
        )  # fmt: skip
        if kind == "archived":
            await self._fill_and_archive(things, made.id)
        return made.id

    async def _fill_and_archive(self, things: Things, channel_id: str) -> None:
        things.ids["channel"] = channel_id
        for role in ROLES:
            for name in ("other", "pinned", *(["own"] if role not in ("admin", "owner") else [])):
                things.ids[f"{name} for {role}"] = await self._said(things, name, role)
        things.ids["file"] = await self._said(things, "file", "guest")
        await self.node.core.archiving.archive(things.place.people["keeper"], int(channel_id))

    def _author(self, things: Things, role: str) -> Actor:
        """Somebody else in the channel."""
        if things.kind == "direct":
            return things.place.people["member" if role == "keeper" else "keeper"]
        return things.place.people["author"]

    async def _said(self, things: Things, name: str, role: str) -> str:
        """Something in the channel: by whoever asks (`own`), or by somebody else."""
        channel_id, author = int(things.ids["channel"]), self._author(things, role)
        if name == "file":
            return (await put(self.node, author, f"{WORD}.png", picture(8, 8), channel_id=channel_id)).attachments[0].id
        message = await say(self.node, things.place.people.get(role, author) if name == "own" else author, channel_id, WORD)
        if name == "pinned":
            await self.node.core.messages.pin(author, int(message.id))
        return message.id
