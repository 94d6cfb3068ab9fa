"""Every call of the API, asked by every role, aimed at every kind of thing: what comes of it is what the tables say, and nothing else.

The tables are api.md's "Who may", written out. A cell has a sign for each of guest, member, channel owner, admin and owner, in this order:

    .  it is done       +  it is found       -  it is not found, in a search        x  there is no such thing
    1  401 unauthenticated    3  403 forbidden    4  404 not_found     9  409 conflict    0  410 gone         2  422 invalid

For all of them holds beside that: without a session, and for who is suspended, it is 401; for people of other organisations nothing is
there, nor for the server's administrators, but for what `SERVER` says. What is refused leaves no trace in the log. What one may not see
is refused with the very words with which something is that is not there, and its `field` is a parameter that was given; `theirs` is what
another organisation has, and the hermit is in none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from quart import typing

from crust.api import beside
from crust.runtime import Faces, opened
from crust.settings import Limits, Settings
from tests.support.commands import offer
from tests.support.people import position
from tests.support.pictures import picture
from tests.support.rights import INSIDE, ROLES, WORD, Scene

pytestmark = pytest.mark.asyncio
NOTHING = "4611686018427387904"  # an id that nothing has: its time is yet to come
SIGNS = {".": 200, "+": 200, "-": 200, "1": 401, "3": 403, "4": 404, "9": 409, "0": 410, "2": 422}

CHANNEL_KINDS = ("public", "unjoined", "closed", "private", "inside", "direct", "archived", "frozen")
"""Channels: public, with the guest, the member and the keeper in it; with the keeper alone; of a team that none of them is in, where the
keeper is nobody; private, with the same three; with the admin and the owner too; direct, of the member and the keeper; archived, else like
the first; and like the first, but in an archived organisation."""

CHANNELS = """
                                     public  unjoined closed  private inside  direct  archived frozen
GET    /channel/read                 .....   4....    444..   ...44   .....   4..44   .....    .....
GET    /channel/members              .....   4....    444..   ...44   .....   4..44   .....    .....
GET    /channel/search               +++++   -++++    ---++   +++--   +++++   -----   +++++    +++++
GET    /command/search               .....   4....    444..   ...44   .....   4..44   .....    .....
POST   /command/run                  .....   4....    444..   ...44   .....   4..44   .....    .....
GET    /message/read                 .....   4....    444..   ...44   .....   4..44   .....    .....
GET    /message/read#one             .....   4....    444..   ...44   .....   4..44   .....    .....
GET    /message/search               +++++   -++++    ---++   +++--   +++++   -++--   +++++    +++++
GET    /message/thread               .....   4....    444..   ...44   .....   4..44   .....    .....
GET    /message/history              .....   4....    444..   ...44   .....   4..44   .....    .....
GET    /message/delivery             .....   4....    444..   ...44   .....   4..44   .....    .....
GET    /file/read                    .....   4....    444..   ...44   .....   4..44   .....    .....
GET    /file/preview                 .....   4....    444..   ...44   .....   4..44   .....    .....
POST   /message/flag                 .....   4....    444..   ...44   .....   4..44   .....    .....
POST   /message/unflag               .....   4....    444..   ...44   .....   4..44   .....    .....
POST   /channel/join                 .....   4....    444..   ...44   .....   4..44   ...00    ...00
POST   /channel/part                 .....   4....    444..   ...44   .....   43344   .....    .....
POST   /channel/view                 ...33   43.33    44433   ...44   .....   4..44   ...33    ...33
POST   /channel/mute                 ...33   43.33    44433   ...44   .....   4..44   ...33    ...33
POST   /message/edit                 ...33   43.33    44433   ...44   .....   4..44   00033    00033
POST   /message/edit#theirs          44433   43433    44433   44444   44444   44444   00033    00033
POST   /channel/view#theirs          44433   43433    44433   44444   44444   44444   44433    44433
PUT    /message/attach               ...33   43.33    44433   ...44   .....   4..44   00033    00033
POST   /message/edit#own             ...xx   xx.xx    xxxxx   ...xx   .....   x..xx   000xx    000xx
PUT    /message/attach#own           ...xx   xx.xx    xxxxx   ...xx   .....   x..xx   000xx    000xx
DELETE /message/remove#own           ...xx   xx.xx    xxxxx   ...xx   .....   x..xx   000xx    000xx
POST   /message/edit#other           33333   43333    44433   33344   33333   43344   33333    33333
PUT    /message/attach#other         33333   43333    44433   33344   33333   43344   33333    33333
DELETE /message/remove#other         33...   43...    444..   33.44   33...   43344   33000    33000
POST   /message/pin                  3..33   43.33    44433   3..44   3....   4..44   30033    30033
POST   /message/unpin#other          33...   43...    444..   33.44   33...   43344   33000    33000
POST   /message/react                3..33   43.33    44433   3..44   3....   4..44   30033    30033
POST   /message/unreact              ...33   43.33    44433   ...44   .....   4..44   00033    00033
POST   /channel/edit                 3..33   43.33    44433   3..44   3....   43344   30033    30033
POST   /channel/invite               3..33   43.33    44433   3..44   3....   43344   30033    30033
POST   /channel/invite#hermit        34433   43433    44433   34444   34444   43344   30033    30033
POST   /channel/kick#hermit          33444   43444    44444   33444   33444   43344   33000    33000
POST   /channel/kick                 33...   43...    444..   33.44   33...   43344   33000    33000
POST   /bridge/link                  33...   43...    444..   33.44   33...   43344   33000    33000
POST   /bridge/unlink                33...   43...    444..   33.44   33...   44444   33...    33...
DELETE /bridge/unlink                33...   43...    444..   33.44   33...   44444   33...    33...
POST   /channel/archive              33...   43...    444..   33.44   33...   43344   33...    33000
POST   /channel/unarchive            33...   43...    444..   33.44   33...   43344   33...    33000
DELETE /channel/remove               33...   43...    444..   33.44   33...   43344   33...    33000
POST   /channel/move                 33...   43...    444..   33.44   33...   43344   33000    33000
POST   /channel/move#theirs          33444   43444    44444   33444   33444   43344   33000    33000
POST   /channel/move#theirteam       33444   43444    44444   33444   33444   43344   33000    33000
POST   /channel/merge                33...   43...    444..   33.44   33...   42244   33000    33000
POST   /channel/merge#theirs         44444   44444    44444   44444   44444   44444   44444    44444
POST   /channel/share                33...   43...    444..   33.44   33...   43344   33000    33000
POST   /channel/share#theirteam      33444   43444    44444   33444   33444   43344   33000    33000
POST   /channel/unshare              339..   439..    444..   33.44   33...   43344   33000    33000
"""

TEAM_KINDS = ("team", "archived", "frozen")
TEAMS = """
                                     team    archived frozen
GET    /team/read                    4....   4....    4....
GET    /team/search                  -++++   -++++    -++++
POST   /team/edit                    433..   43300    43300
POST   /team/edit#hermit             43322   43300    43300
POST   /team/archive                 433..   433..    43300
POST   /team/unarchive               433..   433..    43300
POST   /team/move                    43344   43300    43300
POST   /team/merge                   433..   43300    43300
DELETE /team/remove                  433..   433..    43300
"""

ORGANISATION_KINDS = ("place", "frozen")
ORGANISATIONS = """
                                     place   frozen
GET    /organisation/read            .....   .....
GET    /organisation/search          +++++   +++++
GET    /organisation/members         .....   .....
GET    /organisation/invitations     333..   333..
GET    /organisation/audit           333..   333..
POST   /organisation/edit            333..   33300
POST   /organisation/archive         3333.   3333.
POST   /organisation/unarchive       3333.   3333.
DELETE /organisation/remove          3333.   3333.
POST   /organisation/invite          333..   33300
POST   /organisation/invite#hermit   33344   33300
POST   /organisation/invite#link     333..   33300
POST   /organisation/invite#address  333..   33300
POST   /organisation/invite#owner    3333.   33300
DELETE /organisation/invitation      333..   333..
POST   /organisation/role            333..   33300
POST   /organisation/role#owner      3333.   33300
POST   /organisation/role#ofowner    3333.   33300
DELETE /organisation/expel           333..   33300
DELETE /organisation/expel#owner     3333.   33300
POST   /channel/edit#make            3....   30000
POST   /channel/edit#inteam          4....   40000
POST   /channel/edit#direct          .....   xxxxx
POST   /channel/edit#hermit          44444   44444
POST   /team/edit#make               333..   33300
POST   /organisation/role#hermit     33344   33300
DELETE /organisation/expel#hermit    33344   33300
GET    /user/read#hermit             44444   44444
GET    /user/read                    .....   .....
GET    /user/search                  +++++   +++++
GET    /file/avatar                  .....   .....
"""

SERVER = {
    "GET /organisation/read": "..", "GET /organisation/members": "..", "GET /organisation/invitations": "..",
    "GET /organisation/audit": "..", "POST /organisation/edit": ".0", "POST /organisation/archive": "..",
    "POST /organisation/unarchive": "..", "DELETE /organisation/remove": "..", "POST /organisation/invite": ".0",
    "POST /organisation/invite#hermit": "x0", "POST /organisation/invite#link": ".0", "POST /organisation/invite#address": ".0",
    "POST /organisation/invite#owner": ".0", "DELETE /organisation/invitation": "..", "POST /organisation/role": ".0",
    "POST /organisation/role#owner": ".0", "POST /organisation/role#ofowner": ".0", "POST /organisation/role#hermit": "40",
    "DELETE /organisation/expel": ".0", "DELETE /organisation/expel#owner": ".0", "DELETE /organisation/expel#hermit": "40",
    "GET /user/read": "..", "GET /user/read#hermit": "..", "GET /file/avatar": "..",
}  # fmt: skip
"""What the server's administrators may do with any organisation, and with an archived one. (They may bring the hermit in, too.)"""

EVERYBODY = """
                                nobody suspended outsider server guest member keeper admin owner
POST   /user/login              .      1         .        .      .     .      .      .     .
POST   /user/register           .      .         .        .      .     .      .      .     .
GET    /user/me                 1      1         .        .      .     .      .      .     .
GET    /user/sessions           1      1         .        .      .     .      .      .     .
POST   /user/edit               1      1         .        .      .     .      .      .     .
POST   /user/presence           1      1         .        .      .     .      .      .     .
POST   /user/password           1      1         .        .      .     .      .      .     .
PUT    /user/avatar             1      1         .        .      .     .      .      .     .
DELETE /user/avatar             1      1         .        .      .     .      .      .     .
DELETE /user/session            1      1         .        .      .     .      .      .     .
POST   /organisation/accept     1      1         .        .      .     .      .      .     .
GET    /server/audit            1      1         3        .      3     3      3      3     3
GET    /plugin/search           1      1         3        .      3     3      3      3     3
GET    /organisation/search#all 1      1         3        .      3     3      3      3     3
GET    /user/search#all         1      1         3        .      3     3      3      3     3
POST   /user/add                1      1         3        .      3     3      3      3     3
POST   /user/suspend            1      1         3        .      3     3      3      3     3
POST   /user/unsuspend          1      1         3        .      3     3      3      3     3
POST   /organisation/edit#make  1      1         3        .      3     3      3      3     3
GET    /bridge/search           1      1         .        .      .     .      .      .     .
POST   /bridge/code             1      1         .        .      .     .      .      .     .
DELETE /bridge/identity         1      1         .        .      .     .      .      .     .
POST   /user/logout             1      1         .        .      .     .      .      .     .
"""
"""Calls that are about the caller or the server, not about somebody's things."""

CHANNEL, MESSAGE = {"id": "$channel"}, {"id": "$other"}
PARAMETERS: dict[str, dict[str, Any]] = {
    "GET /channel/read": CHANNEL,
    "GET /channel/members": CHANNEL,
    "GET /channel/search": {"query": WORD, "archived": "true", "organisation_id": "$place"},
    "GET /command/search": {"channel_id": "$channel"},
    "POST /command/run": {"channel_id": "$channel", "command": "/hello"},
    "GET /message/read": {"channel_id": "$channel"},
    "GET /message/read#one": MESSAGE,
    "GET /message/search": {"query": WORD, "channel_id": "$channel", "message_type": "message"},
    "GET /message/thread": MESSAGE,
    "GET /message/history": MESSAGE,
    "GET /message/delivery": MESSAGE,
    "GET /file/read": {"id": "$file"},
    "GET /file/preview": {"id": "$file"},
    "POST /message/flag": MESSAGE,
    "POST /message/unflag": MESSAGE,
    "POST /channel/join": CHANNEL,
    "POST /channel/part": CHANNEL,
    "POST /channel/view": {"id": "$channel", "message_id": "$other"},
    "POST /channel/mute": CHANNEL,
    "POST /message/edit": {"channel_id": "$channel", "contents": "x"},
    "PUT /message/attach": {"channel_id": "$channel", "name": "x"},
    "POST /message/edit#own": {"id": "$own", "contents": "x"},
    "PUT /message/attach#own": {"message_id": "$own", "name": "x"},
    "DELETE /message/remove#own": {"id": "$own"},
    "POST /message/edit#other": {"id": "$other", "contents": "x"},
    "PUT /message/attach#other": {"message_id": "$other", "name": "x"},
    "DELETE /message/remove#other": MESSAGE,
    "POST /message/pin": MESSAGE,
    "POST /message/unpin#other": {"id": "$pinned"},
    "POST /message/react": {**MESSAGE, "emoji": "+1"},
    "POST /message/unreact": {**MESSAGE, "emoji": "+1"},
    "POST /channel/edit": {"id": "$channel", "name": "x", "topic": "x"},
    "POST /channel/invite": {"id": "$channel", "user_id": "$newcomer"},
    "POST /channel/kick": {"id": "$channel", "user_id": "$author"},
    "POST /bridge/link": {"bridge": "toy", "channel_id": "$channel", "room": "$channel"},
    "POST /bridge/unlink": {"id": "$link"},
    "DELETE /bridge/unlink": {"id": "$link"},
    "GET /bridge/search": {},
    "POST /bridge/code": {"bridge": "toy"},
    "DELETE /bridge/identity": {"bridge": "toy"},
    "POST /channel/archive": CHANNEL,
    "POST /channel/unarchive": CHANNEL,
    "DELETE /channel/remove": CHANNEL,
    "POST /channel/move": {"id": "$channel", "team_id": "$other_team"},
    "POST /channel/move#theirs": {"id": "$channel", "organisation_id": "$theirs"},
    "POST /channel/move#theirteam": {"id": "$channel", "team_id": "$their_team"},
    "POST /channel/merge#theirs": {"destination": "$channel", "source": "$their_channel"},
    "POST /channel/share#theirteam": {"id": "$channel", "team_id": "$their_team"},
    "POST /channel/invite#hermit": {"id": "$channel", "user_id": "$hermit"},
    "POST /channel/kick#hermit": {"id": "$channel", "user_id": "$hermit"},
    "POST /message/edit#theirs": {"channel_id": "$channel", "contents": "x", "reply_to": "$their_message"},
    "POST /channel/view#theirs": {"id": "$channel", "message_id": "$their_message"},
    "POST /team/edit#hermit": {"id": "$team", "name": "x", "members": "$hermit"},
    "POST /channel/edit#hermit": {"name": "", "topic": "", "type": "direct", "members": "$hermit"},
    "POST /organisation/role#hermit": {"id": "$place", "user_id": "$hermit", "role": "admin"},
    "DELETE /organisation/expel#hermit": {"id": "$place", "user_id": "$hermit"},
    "GET /user/read#hermit": {"id": "$hermit"},
    "POST /channel/merge": {"destination": "$channel", "source": "$spare"},
    "POST /channel/share": {"id": "$channel", "team_id": "$other_team"},
    "POST /channel/unshare": {"id": "$channel", "team_id": "$its_team"},
    "GET /team/read": {"id": "$team"},
    "GET /team/search": {"query": WORD, "archived": "true", "organisation_id": "$place"},
    "POST /team/edit": {"id": "$team", "name": "x", "members": "$author"},
    "POST /team/archive": {"id": "$team"},
    "POST /team/unarchive": {"id": "$team"},
    "POST /team/move": {"id": "$team", "organisation_id": "$theirs"},
    "POST /team/merge": {"destination": "$team", "source": "$spare_team"},
    "DELETE /team/remove": {"id": "$team"},
    "GET /organisation/read": {"id": "$place"},
    "GET /organisation/search": {"query": WORD, "archived": "true"},
    "GET /organisation/members": {"id": "$place"},
    "GET /organisation/invitations": {"id": "$place"},
    "GET /organisation/audit": {"id": "$place"},
    "POST /organisation/edit": {"id": "$place", "name": "x"},
    "POST /organisation/archive": {"id": "$place"},
    "POST /organisation/unarchive": {"id": "$place"},
    "DELETE /organisation/remove": {"id": "$place"},
    "POST /organisation/invite": {"id": "$place", "user_id": "$invited"},
    "POST /organisation/invite#hermit": {"id": "$place", "user_id": "$hermit"},
    "POST /organisation/invite#link": {"id": "$place"},
    "POST /organisation/invite#address": {"id": "$place", "email": "invited@example.org"},
    "POST /organisation/invite#owner": {"id": "$place", "user_id": "$invited", "role": "owner"},
    "DELETE /organisation/invitation": {"id": "$invitation"},
    "POST /organisation/role": {"id": "$place", "user_id": "$author", "role": "admin"},
    "POST /organisation/role#owner": {"id": "$place", "user_id": "$author", "role": "owner"},
    "POST /organisation/role#ofowner": {"id": "$place", "user_id": "$second", "role": "member"},
    "DELETE /organisation/expel": {"id": "$place", "user_id": "$author"},
    "DELETE /organisation/expel#owner": {"id": "$place", "user_id": "$second"},
    "POST /channel/edit#make": {"name": "x", "topic": "", "organisation_id": "$place"},
    "POST /channel/edit#inteam": {"name": "x", "topic": "", "team_id": "$its_team"},
    "POST /channel/edit#direct": {"name": "", "topic": "", "type": "direct", "members": "$author", "organisation_id": "$place"},
    "POST /team/edit#make": {"name": "x", "organisation_id": "$place"},
    "GET /user/read": {"id": "$author"},
    "GET /user/search": {},
    "GET /file/avatar": {"id": "$avatar"},
    "POST /user/login": {"username": "$role", "password": "correct horse"},
    "POST /user/register": {"invitation": "$secret", "username": "$unique", "password": "correct horse"},
    "GET /user/me": {},
    "GET /user/sessions": {},
    "POST /user/edit": {"name": "x"},
    "POST /user/presence": {"status": "away"},
    "POST /user/password": {"old": "correct horse", "new": "correct horse"},
    "PUT /user/avatar": {},
    "DELETE /user/avatar": {},
    "DELETE /user/session": {"id": "$session"},
    "POST /organisation/accept": {"invitation": "$secret"},
    "GET /server/audit": {},
    "GET /plugin/search": {},
    "GET /organisation/search#all": {"everywhere": "true"},
    "GET /user/search#all": {"everywhere": "true"},
    "POST /user/add": {"username": "$added"},
    "POST /user/suspend": {"id": "$hermit"},
    "POST /user/unsuspend": {"id": "$hermit"},
    "POST /organisation/edit#make": {"name": "x"},
    "POST /user/logout": {},
}
"""How each row's call is made; a word after a $ is the name of a thing, as `Scene` makes it."""

FOUND = {
    "GET /channel/search": "channel", "GET /message/search": "other", "GET /team/search": "team", "GET /organisation/search": "place",
    "GET /user/search": "author",
}  # fmt: skip
"""What a search is to find, or not."""


@dataclass
class Row:
    """A line of a table: the call, and for each kind what each role gets."""

    label: str
    cells: dict[str, str]

    @property
    def call(self) -> tuple[str, str]:
        method, path = self.label.partition("#")[0].split()
        return method, path


def rows(table: str) -> Iterator[Row]:
    """The lines of a table."""
    head, *lines = table.strip().splitlines()
    for line in lines:
        method, path, *cells = line.split()
        yield Row(f"{method} {path}", dict(zip(head.split(), cells, strict=True)))


@dataclass
class Asked:
    """Calls over HTTP, and what is wrong with their answers."""

    scene: Scene
    client: typing.TestClientProtocol
    wrong: list[str] = field(default_factory=list)
    count: int = 0

    async def call(self, row: Row, role: str, params: dict[str, Any]) -> tuple[int, bytes]:
        """Ask; gives status and body."""
        method, path = row.call
        headers = {"X-Request-ID": "r"} if role == "nobody" else {"X-Request-ID": "r", "X-Session-ID": self.scene.secrets[role]}
        self.count += 1
        how: dict[str, Any] = {"form": params} if method == "POST" else {"query_string": params}
        if method == "PUT":
            how |= {"data": picture(4, 4), "headers": {**headers, "Content-Type": "application/octet-stream"}}
        answer = await self.client.open(path, method=method, **{"headers": headers, **how})
        return answer.status_code, await answer.get_data(as_text=False)

    async def expect(self, table: str, row: Row, kind: str, role: str, sign: str) -> None:
        """Ask, and note what is not as the sign says."""
        scene, given = self.scene, PARAMETERS[row.label]
        params = {name: await scene.id_of(table, kind, text[1:], role) if text[:1] == "$" else text for name, text in given.items()}
        wanted = f'"id":"{await scene.id_of(table, kind, FOUND[row.label], role)}"' if row.label in FOUND else ""
        before = await position(scene.node)
        status, body = await self.call(row, role, params)
        changed = await position(scene.node) != before
        where = f"{row.label} of {kind} by {role}: {status}"
        if status != SIGNS[sign]:
            self.wrong.append(f"{where}, not {SIGNS[sign]}: {body[:300]!r}")
        elif sign in "+-" and (wanted.encode() in body) != (sign == "+"):
            self.wrong.append(f"{where}, {sign}: {body[:300]!r}")
        elif status != 200 and (changed or WORD.encode() in body):
            self.wrong.append(f"{where}, but it has left a trace: {body[:300]!r}")
        elif (status == 404 or hidden(given)) and status != 200 and (said := await self._about_nothing(row, role, params, given)) != body:
            self.wrong.append(f"{where}, but {body!r}, and of what is not there {said!r}")
        elif status == 404 and (named := json.loads(body)["error"].get("field")) not in given:
            self.wrong.append(f"{where}, but its field is {named!r}: {body[:300]!r}")
        if status == 200 and row.call[0] != "GET":
            scene.changed(table, kind)

    async def _about_nothing(self, row: Row, role: str, params: dict[str, Any], given: dict[str, Any]) -> bytes:
        """What is said of things that are not there, with the ids of those that are."""
        names = hidden(given) or [name for name, text in given.items() if text[:1] == "$"]
        body = (await self.call(row, role, {**params, **dict.fromkeys(names, NOTHING)}))[1]
        return body.replace(NOTHING.encode(), str(params[names[-1]]).encode())


def hidden(given: dict[str, Any]) -> list[str]:
    """Those parameters of a row that name what nobody of ours may see, whatever else they may."""
    return [name for name, text in given.items() if text.startswith(("$their", "$hermit"))]


def signs(row: Row, kind: str) -> dict[str, str]:
    """What each role gets; those outside find nothing, and those of ours find nothing of a foreign organisation."""
    search = "-" if set("".join(row.cells.values())) <= {"+", "-"} else "4"
    server = SERVER.get(row.label, search * 2)[kind == "frozen"]
    if kind == "foreign":
        known = {} if row.label in SERVER else {"server": server}  # to them the organisation of ours is as foreign as this one
        return {"nobody": "1", "suspended": "1", **known, **dict.fromkeys(INSIDE, search)}
    return {"nobody": "1", "suspended": "1", "outsider": search, "server": server, **dict(zip(INSIDE, row.cells[kind], strict=True))}


async def walked(settings: Settings, table: str, name: str) -> None:
    """Ask everything in a table."""
    async with opened(settings) as node:
        faces = Faces(node, await node.log.head())
        offer(node)
        scene = Scene(node)
        await scene.begin()
        asked = Asked(scene, faces.app.test_client(use_cookies=False))
        for row in rows(table):
            for kind in (*row.cells, "foreign"):
                for role, sign in signs(row, kind).items():
                    if sign == "x" or (kind == "foreign" and "#own" in row.label):
                        continue
                    await asked.expect(name, row, kind, role, sign)
        assert not asked.wrong, f"{len(asked.wrong)} of {asked.count}:\n" + "\n".join(asked.wrong)


@pytest.fixture
def unlimited(settings: Settings) -> Settings:
    """No rates."""
    return settings.model_copy(update={"limits": Limits(enabled=False)})


async def test_every_call_is_in_a_table(settings: Settings) -> None:
    """A call that is in none fails here by its name, and so does a row of a call that there is not, or without parameters."""
    async with opened(settings) as node:
        faces = Faces(node, await node.log.head())
        paths = json.loads(await described(faces))
        there = {(method, path) for path, methods in paths.items() for method in methods if path not in beside.PATHS}
    listed = {row.call for table in (CHANNELS, TEAMS, ORGANISATIONS, EVERYBODY) for row in rows(table)}
    assert {(method.upper(), path) for method, path in there} == listed
    assert [row.label for table in (CHANNELS, TEAMS, ORGANISATIONS, EVERYBODY) for row in rows(table) if row.label not in PARAMETERS] == []


async def described(faces: Faces) -> str:
    answer = await faces.app.test_client().get("/openapi.json")
    return json.dumps((await answer.get_json())["paths"])


@pytest.mark.timeout(300)
async def test_channels_and_what_is_in_them(unlimited: Settings) -> None:
    """By role, and by how the channel is, and they to it."""
    await walked(unlimited, CHANNELS, "channels")


@pytest.mark.timeout(300)
async def test_teams(unlimited: Settings) -> None:
    """By role."""
    await walked(unlimited, TEAMS, "teams")


@pytest.mark.timeout(300)
async def test_organisations_and_who_is_in_them(unlimited: Settings) -> None:
    """By role."""
    await walked(unlimited, ORGANISATIONS, "organisations")


async def test_what_is_about_oneself_or_the_server(unlimited: Settings) -> None:
    """By role; whoever signs out, is out."""
    async with opened(unlimited) as node:
        faces = Faces(node, await node.log.head())
        scene = Scene(node)
        await scene.begin()
        asked = Asked(scene, faces.app.test_client(use_cookies=False))
        for row in rows(EVERYBODY):
            for role, sign in row.cells.items():
                params = await own(scene, PARAMETERS[row.label], role)
                status, body = await asked.call(row, role, params)
                if status != SIGNS[sign]:
                    asked.wrong.append(f"{row.label} by {role}: {status}, not {SIGNS[sign]}: {body[:300]!r}")
        me = Row("GET /user/me", {})
        assert not asked.wrong, "\n".join(asked.wrong)
        assert {role: (await asked.call(me, role, {}))[0] for role in ROLES} == dict.fromkeys(ROLES, 401)


async def own(scene: Scene, params: dict[str, Any], role: str) -> dict[str, Any]:
    """Parameters with what is the role's own."""
    values = {"$role": "outsider" if role == "nobody" else role, "$unique": f"new-{role}", "$added": f"added-{role}"}
    values["$hermit"] = str(scene.actors["hermit"].user_id)
    if "$secret" in params.values():
        values["$secret"] = await scene.secret()
    if "$session" in params.values() and role not in ("nobody", "suspended"):
        values["$session"] = str((await scene.sign_in(role))[1].session_id)
    return {name: values.get(value, value) for name, value in params.items()}
