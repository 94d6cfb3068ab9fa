"""The core: all services over one database, wired up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from crust.clock import Clock
from crust.events.control import Control, Typing
from crust.files.pictures import Pictures
from crust.files.place import place
from crust.log import Log
from crust.models.database import Database
from crust.services.accounts import Accounts
from crust.services.actor import Actor
from crust.services.archiving import Archiving
from crust.services.audit import Audit
from crust.services.avatars import Avatars
from crust.services.bots import Bots
from crust.services.channels import MEMBERS_MAX, Channels
from crust.services.commands import Commands
from crust.services.configured import Configured
from crust.services.erasing import Erasing
from crust.services.files import Files
from crust.services.filters import Filters, NoFilters
from crust.services.ghosts import Ghosts
from crust.services.injects import Injects
from crust.services.instances import Instances
from crust.services.invitations import Invitations
from crust.services.known import Known
from crust.services.limits import LoginThrottle
from crust.services.links import Links
from crust.services.marks import Marks
from crust.services.members import Members
from crust.services.merging import Merging
from crust.services.messages import Messages
from crust.services.moving import Moving
from crust.services.organisations import Organisations
from crust.services.paging import Part
from crust.services.passwords import Passwords
from crust.services.presence import PresenceService
from crust.services.profiles import Profiles
from crust.services.public_links import PublicLinks
from crust.services.retention import Retention
from crust.services.search import Search
from crust.services.sessions import Sessions
from crust.services.snapshots import Snapshots
from crust.services.teams import Teams
from crust.services.ties import Ties
from crust.services.tokens import Tokens
from crust.services.views import ChannelPage
from crust.settings import Settings

MEMBERSHIPS = """
SELECT m.channel_id AS id, m.role, 'channel' AS kind FROM channel_member m JOIN channel c ON c.id = m.channel_id
WHERE m.user_id = $1 AND c.removed_at IS NULL
UNION ALL
SELECT m.organisation_id AS id, m.role, 'organisation' AS kind FROM organisation_member m WHERE m.user_id = $1
"""


@dataclass(frozen=True, slots=True)
class Memberships:
    """What somebody belongs to: id → role."""

    channels: dict[int, str]
    organisations: dict[int, str]


class Core:
    """Everything that the API, the websocket and the command line ask for.

    Args:
        settings: all of them.
        clock: tells the time.
        database: opened and migrated.
        log: running, when anything is to be written.
        known: is told of every event.
        throttle: slows down who guesses passwords.
        node: the name of this process.
        tell: sends a control message to all nodes.
        filters: have a say before something happens; left out, nobody has.
    """

    def __init__(
        self, settings: Settings, clock: Clock, database: Database, log: Log, known: Known, throttle: LoginThrottle,
        node: str, tell: Callable[[Control], None], filters: Filters | None = None,
    ) -> None:  # fmt: skip
        self.settings, self.clock, self.database, self.log = settings, clock, database, log
        self._tell, filters = tell, filters or NoFilters()
        self.known = known
        self.members = members = Members(database)
        self.passwords = Passwords(settings.passwords)
        self.presence = PresenceService(database, log, clock, node, tell)
        self.sessions = Sessions(database, log, clock, settings.sessions, self.passwords, throttle, known, tell, filters)
        self.tokens = Tokens(database, log, self.sessions)
        self.accounts = Accounts(database, log, clock, members, self.passwords, self.presence, self.sessions, settings.organisations)
        organisations = settings.organisations
        self.bots = Bots(database, log, self.accounts, members)
        self.links = Links(database, log, members)
        self.configured = Configured(database, log, self.links)
        self.invitations = Invitations(
            database, log, clock, members, self.accounts, self.sessions, settings.effective_public_url, organisations.invitation_days
        )
        self.audit = Audit(database, members)
        ties = Ties(database, members)
        self.channels = Channels(database, log, members, ties, self.presence, filters)
        self.teams = Teams(database, log, members, ties, self.presence)
        self.moving = Moving(database, log, members, ties, self.channels, self.teams, self.links)
        self.merging = Merging(database, log, members, ties, self.channels, self.links)
        self.archiving = Archiving(database, log, members, self.channels, self.links)
        self.organisations = Organisations(
            database, log, members, self.archiving, ties, self.presence, everybody=settings.organisations.open
        )
        self.profiles = Profiles(database, log, self.accounts, members, self.sessions, throttle)
        self.marks = Marks(database, log, self.channels, tell)
        self.snapshots = Snapshots(database, self.presence, settings.websocket.members_shown)
        storage, spool = place(settings)
        contents_max = settings.limits.contents_characters
        self.messages = Messages(database, log, self.channels, self.marks, known, storage, contents_max, filters)
        self.erasing = Erasing(database, log, self.messages)
        self.retention = Retention(database, log, clock, self.messages, settings.retention, settings.sessions.idle_days)
        pictures = Pictures()
        self.files = Files(database, self.channels, self.messages, storage, spool, pictures, settings.files, filters)
        self.avatars = Avatars(database, log, self.profiles, self.files, storage, spool, pictures)
        self.commands = Commands(database, self.channels, contents_max)
        links = settings.public_links
        self.public_links = PublicLinks(database, log, clock, self.messages, self.files, settings.effective_public_url, links.days)
        self.instances = Instances(database, log)
        self.search = Search(database, self.messages)
        self.ghosts = Ghosts(database, log, self.accounts, members)
        self.injects = Injects(
            database, clock, settings.server_name, self.messages, self.channels, self.files, self.links, self.ghosts, tell
        )

    async def close(self) -> None:
        """End what runs beside the event loop."""
        await self.files.close()
        self.presence.close()
        self.passwords.close()

    # ---- what takes several services

    async def memberships(self, user_id: int) -> Memberships:
        """What somebody belongs to now."""
        rows = await self.database.fetch(MEMBERSHIPS, user_id)
        return Memberships(
            channels={row["id"]: row["role"] for row in rows if row["kind"] == "channel"},
            organisations={row["id"]: row["role"] for row in rows if row["kind"] == "organisation"},
        )

    async def channel_page(self, actor: Actor, channel_id: int) -> ChannelPage:
        """A channel with its first members and its pins.

        Raises:
            NotFound: it is not there, or not the caller's to see.
        """
        channel = await self.channels.read(actor, channel_id)
        return ChannelPage(
            **msgspec.structs.asdict(channel),
            members=await self.channels.members_of(int(channel.id), Part(limit=MEMBERS_MAX)),
            pins=await self.messages.pins(actor.user_id, int(channel.id)),
        )

    async def typing(self, actor: Actor, channel_id: int, state: str) -> None:
        """Tell the others in a channel that the caller has started or stopped typing.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
        """
        row = await self.channels.standing_row(actor, channel_id, "type")
        self._tell(Typing(row["id"], actor.user_id, state))
