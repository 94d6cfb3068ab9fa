"""Accounts: who there is, and the organisation that everybody starts in."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from crust import settings
from crust.clock import Clock
from crust.errors import Conflict, Gone, NotFound
from crust.events import objects
from crust.ids import hash_secret, new_secret
from crust.log import Change, Log, NewEvent
from crust.models.database import Database
from crust.models.tables import Invitation, Organisation, OrganisationMember, User
from crust.services import keys, names, views
from crust.services.actor import Actor
from crust.services.keys import Key
from crust.services.lookalikes import Lookalikes
from crust.services.members import Members
from crust.services.paging import Part
from crust.services.passwords import Passwords
from crust.services.presence import PresenceService
from crust.services.rights import may_administer
from crust.services.sessions import DAY_MS, Sessions

NOWHERE = 0  # the organisation that a link for the first administrator leads into: there is none yet
USED = "This link has been used: the server has an administrator."
LISTED = f"""
SELECT {views.USER_COLUMNS}, u.email, u.is_admin FROM "user" u WHERE u.kind <> 'ghost' ORDER BY u.id
"""
PROFILE = f"""
SELECT {views.USER_COLUMNS}, {views.PRESENCE_COLUMNS}, u.email, u.is_admin, u.organisation_id FROM "user" u WHERE u.id = $1
"""
DIRECTORY = f"""
SELECT {views.USER_COLUMNS}, {views.PRESENCE_COLUMNS} FROM "user" u
WHERE (u.username_key LIKE $1 ESCAPE '!' OR u.name_key LIKE $1 ESCAPE '!' OR u.name_key LIKE $2 ESCAPE '!')
AND ($4 OR u.id IN (
    SELECT theirs.user_id FROM organisation_member theirs JOIN organisation_member mine ON mine.organisation_id = theirs.organisation_id
    WHERE mine.user_id = $3
))
"""


async def home_organisation() -> int | None:
    """The home organisation, which whoever is added comes into: the first there ever was."""
    home = await Organisation.all().order_by("id").first()
    return None if home is None else int(home.id)


def like(text: str) -> str:
    """User text inside a LIKE pattern, taken literally (with ESCAPE '!')."""
    for character in "!%_":
        text = text.replace(character, "!" + character)
    return text


class Place(NamedTuple):
    """Where somebody comes into, as what, and by whom (0: by themselves)."""

    organisation_id: int
    role: str
    by: int = 0


class Accounts:
    """See the module.

    Args:
        organisations: what the home organisation of an empty server is called, and for how many days a link holds.
    """

    def __init__(
        self, database: Database, log: Log, clock: Clock, members: Members, passwords: Passwords, presence: PresenceService,
        sessions: Sessions, organisations: settings.Organisations,
    ) -> None:  # fmt: skip
        self._database, self._log, self._clock, self._members = database, log, clock, members
        self._passwords, self._presence, self._sessions = passwords, presence, sessions
        self._home_name, self._link_days = organisations.home_name, organisations.invitation_days
        self.lookalikes = Lookalikes(database, members)

    # ---- adding

    async def add(
        self, username: str, *, password: str | None, email: str | None = None, name: str | None = None, is_admin: bool = False,
        only_if_empty: bool = False, bot: bool = False,
    ) -> objects.User:  # fmt: skip
        """Add a person to the home organisation, which is made if need be.

        The server's first administrator owns the home organisation, later ones are its admins, everybody else is a member.

        Args:
            username: their handle, unique whatever its case.
            password: None for an account that cannot sign in.
            is_admin: whether they administer the server.
            only_if_empty: refuse when anybody has an account already.
            bot: whether it is a program, which signs in with tokens.

        Raises:
            Gone: somebody has, and `only_if_empty`.
            Invalid: a name, address or password is not as it must be.
            Conflict: the name or the address is taken.
        """
        checked = await self._checked(username, name, email, password)
        async with self._log.change() as change:
            if only_if_empty and not await self.empty():
                raise Gone(USED)
            return await self.enrol(change, *checked, is_admin=is_admin, kind="bot" if bot else "person")

    async def add_by(
        self, actor: Actor, username: str, *, password: str | None, email: str | None, name: str | None, key: Key | None
    ) -> views.ViewedUser:
        """The same, as an administrator of the server. With a key that was used for the same before: the one who was added then.

        Raises:
            Forbidden: the caller is none.
            Invalid, Conflict: as in `add`.
            IdempotencyMismatch: the key was used for another request.
        """
        may_administer(is_admin=actor.is_admin)
        checked = await self._checked(username, name, email, password)
        async with self._log.change() as change:
            repeated = await keys.result(self._database, key)
            added = repeated or int((await self.enrol(change, *checked)).id)
            if repeated is None:
                keys.keep(change, key, added)
        viewed = await self.viewed(added)
        return viewed if repeated is None else msgspec.structs.replace(viewed, duplicate=True)

    async def _checked(
        self, username: str, name: str | None, email: str | None, password: str | None
    ) -> tuple[str, str, str | None, str | None]:
        """What was asked for, as it is stored: handle, name, address and password; in the order of `enrol`."""
        return (
            names.username(username),
            names.display(name or username),
            None if email is None else names.email(email),
            None if password is None else await self.hashed(password),
        )

    async def enrol(
        self, change: Change, handle: str, shown: str, address: str | None, password_hash: str | None, *, is_admin: bool = False,
        kind: str = "person", place: Place | None = None, id_: int | None = None, origin: str | None = None,
    ) -> objects.User:  # fmt: skip
        """Inside a change: the same for what was checked and hashed before.

        Args:
            place: the organisation that they come into, and by whom; left out, the home organisation.
            id_: a new one that is theirs; left out, another one.
            origin: the network that a ghost is on.

        Raises:
            Conflict: the name or the address is taken.
        """
        await self._check_free(handle, address)
        if place is None:
            home = await self._home(change)
            place = Place(home, await self._home_role(home, is_admin=is_admin))
        user = await User.create(
            id=id_ or change.next_id(), username=handle, username_key=names.fold(handle), name=shown, name_key=names.fold(shown),
            email=address, email_key=address and names.fold(address), kind=kind, origin=origin, password_hash=password_hash,
            is_admin=is_admin, organisation_id=place.organisation_id, presence_status="available",
            created_at=change.now, updated_at=change.now,
        )  # fmt: skip
        if kind != "ghost":
            await self.lookalikes.give_way(change, handle, shown)
        made = await self._members.user(user.id)
        change.record(NewEvent(type="user", event="created", body=made, organisation=place.organisation_id, object=user.id))
        await self._members.join_organisation(change, place.organisation_id, user.id, place.role, by=place.by or user.id)
        return made

    async def hashed(self, password: str) -> str:
        """A password as it is stored.

        Raises:
            Invalid: it is too short or too long.
        """
        self._passwords.check_rules(password)
        return await self._passwords.hash(password)

    async def _check_free(self, username: str, email: str | None) -> None:
        if await User.filter(username_key=names.fold(username)).exists():
            raise Conflict(f"The username {username} is taken.", field="username")
        if email is not None and await User.filter(email_key=names.fold(email)).exists():
            raise Conflict(f"The address {email} belongs to somebody else.", field="email")

    async def _home(self, change: Change) -> int:
        """The home organisation, made if need be."""
        home = await home_organisation()
        if home is not None:
            return home
        shown = names.display(self._home_name)
        made = await Organisation.create(
            id=change.next_id(), name=shown, name_key=names.fold(shown), created_at=change.now, updated_at=change.now
        )
        return int(made.id)

    async def _home_role(self, home: int, *, is_admin: bool) -> str:
        if not is_admin:
            return "member"
        owned = await OrganisationMember.filter(organisation_id=home, role="owner").exists()
        return "admin" if owned else "owner"

    # ---- the first one

    async def empty(self) -> bool:
        """Whether nobody has an account yet."""
        return not await User.exists()

    async def new_setup_token(self) -> str | None:
        """The secret of a link that makes the first administrator, on any node; None where somebody has an account already.

        It is an invitation, but for what it leads into. Those made before hold on: another node may have just printed one.
        """
        if not await self.empty():
            return None
        token = new_secret()
        async with self._log.change() as change:
            await Invitation.create(
                id=change.next_id(), token_hash=hash_secret(token), organisation_id=NOWHERE, role="owner", uses_left=1, invited_by=0,
                created_at=change.now, ends_at=change.now + self._link_days * DAY_MS,
            )  # fmt: skip
        return token

    async def create_first(self, token: str, username: str, name: str, email: str, password: str) -> objects.User:
        """Make the first administrator of an empty server.

        Raises:
            Gone: a link was used, or an account was made otherwise.
            NotFound: the token was never printed, or too long ago.
        """
        if not await self.empty():
            raise Gone(USED)
        links = Invitation.filter(token_hash=hash_secret(token), organisation_id=NOWHERE, ends_at__gt=self._clock.now())
        if not await links.exists():
            raise NotFound("This link is wrong, or has expired.")
        return await self.add(username, name=name or None, email=email, password=password, is_admin=True, only_if_empty=True)

    # ---- for operators

    async def all(self) -> list[dict[str, object]]:
        """Everybody who can sign in, oldest first."""
        rows = await self._database.fetch(LISTED)
        return [{**msgspec.structs.asdict(views.user(row)), "email": row["email"], "is_admin": bool(row["is_admin"])} for row in rows]

    # ---- reading

    async def me(self, actor: Actor) -> views.ViewedUser:
        """The caller, with what only they see."""
        (row,) = await self._database.fetch(PROFILE, actor.user_id)
        return msgspec.structs.replace(
            views.viewed_user(row, self._presence.of(row)),
            email=row["email"],
            is_admin=bool(row["is_admin"]),
            organisation_id=str(row["organisation_id"]),
        )

    async def viewed(self, user_id: int) -> views.ViewedUser:
        """Somebody as others see them.

        Raises:
            NotFound: there is nobody like that.
        """
        rows = await self._database.fetch(PROFILE, user_id)
        if not rows:
            raise NotFound("There is no such user.", field="user_id")
        return views.viewed_user(rows[0], self._presence.of(rows[0]))

    async def search(self, actor: Actor, query: str, part: Part, *, everywhere: bool = False) -> list[views.ViewedUser]:
        """The people that share an organisation with the caller, whose username, name or one of its words begins with `query`.

        Args:
            everywhere: everybody on the server, which is for its administrators.

        Raises:
            Forbidden: the caller is none.
        """
        if everywhere:
            may_administer(is_admin=actor.is_admin)
        start = like(names.fold(query.strip())) + "%"
        sql = f"{DIRECTORY} AND {part.cut('u.id', 5)}"
        rows = await self._database.fetch(sql, start, "% " + start, actor.user_id, everywhere, *part.values)
        return [views.viewed_user(row, self._presence.of(row)) for row in rows]
