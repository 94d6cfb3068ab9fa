"""Every call of the HTTP API once, with nothing but urlencoded forms and queries, as the smallest client there can be would make them.

    python examples/every_call.py http://127.0.0.1:8400 ana bob        # their passwords: PASSWORD, and PASSWORD_2 for the second

It makes organisations of its own and removes them again, so ana has to administer the server; what stays are two
accounts, of a guest that is in none, and of somebody who is suspended. It can be run again and again. It prints each call with how it was
answered, and ends with status 1 if one was refused. Python's standard library is all that it needs.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import secrets
import sys
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

# One red dot, as PNG.
PICTURE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")


class Client:
    """Somebody who is signed in."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self._url, self.failed = url, 0
        self._headers = {"X-Client-ID": "every-call"}
        self.me = self.post("/user/login", username=username, password=password)
        self._headers["X-Session-ID"] = self.me["session_id"]

    def in_session(self, session_id: str) -> Client:
        """The same, but for who asks."""
        other = copy.copy(self)
        other._headers = {**self._headers, "X-Session-ID": session_id}
        return other

    def get(self, path: str, **fields: object) -> Any:
        return self._call("GET", path, "query", fields)

    def post(self, path: str, **fields: object) -> Any:
        return self._call("POST", path, "body", fields)

    def delete(self, path: str, **fields: object) -> Any:
        return self._call("DELETE", path, "query", fields)

    def put(self, path: str, file: bytes, **fields: object) -> Any:
        """A file is the body; what belongs to it stands in the query."""
        return self._call("PUT", path, "query", fields, file)

    def _call(self, method: str, path: str, where: str, fields: dict[str, object], file: bytes | None = None) -> Any:
        form = urlencode(fields, doseq=True)
        address = f"{self._url}{path}?{form}" if where == "query" and form else self._url + path
        body = form.encode() if where == "body" else file
        headers = self._headers if file is None else {**self._headers, "Content-Type": "application/octet-stream"}
        try:
            with urlopen(Request(address, body, headers, method=method), timeout=30) as answer:
                kind, received = answer.headers["Content-Type"], answer.read()
        except HTTPError as refused:
            kind, received = "application/json", refused.read()
            self.failed += 1
        found = json.loads(received) if kind == "application/json" and not path.startswith("/file/") else {"bytes": received}
        print(f"{method:6} {path:24} {next(iter(found)):8} {found.get('error', {}).get('message', '')}")
        return found.get("response")


def organisations(ana: Client, bob_id: str) -> str:
    """Gives the id of the one that the rest happens in."""
    other = ana.post("/organisation/edit", name="Every call, in passing")
    own = ana.post("/organisation/edit", name="Every call")
    ana.post("/organisation/edit", id=own["id"], name="Every call of the API")
    ana.get("/organisation/read", id=own["id"])
    ana.get("/organisation/search", query="every")
    ana.post("/organisation/archive", id=other["id"])
    ana.post("/organisation/unarchive", id=other["id"])
    ana.delete("/organisation/remove", id=other["id"])
    ana.post("/organisation/invite", id=own["id"], user_id=bob_id)
    ana.post("/organisation/role", id=own["id"], user_id=bob_id, role="admin")
    ana.get("/organisation/members", id=own["id"])
    link = ana.post("/organisation/invite", id=own["id"], role="guest", uses=2)
    secret = link["url"].partition("token=")[2]
    guest = ana.post("/user/register", invitation=secret, username=f"every-{own['id']}", password=os.environ["PASSWORD"])
    ana.in_session(guest["session_id"]).post("/user/logout")
    ana.post("/organisation/accept", invitation=secret)
    ana.get("/organisation/invitations", id=own["id"])
    ana.delete("/organisation/invitation", id=link["id"])
    ana.get("/organisation/audit", id=own["id"])
    ana.get("/server/audit")
    return str(own["id"])


def teams(ana: Client, organisation: str, people: list[str]) -> tuple[str, str]:
    """Gives the ids of two."""
    second = ana.post("/organisation/edit", name="Every call, elsewhere")["id"]
    team = ana.post("/team/edit", name="Builders", organisation_id=organisation, members=people)["id"]
    rest = [ana.post("/team/edit", name=name, organisation_id=organisation)["id"] for name in ("Painters", "Movers", "Gone")]
    ana.post("/team/edit", id=team, name="Builders and more", members=people)
    ana.get("/team/read", id=team)
    ana.get("/team/search", query="build")
    ana.post("/team/archive", id=rest[0])
    ana.post("/team/unarchive", id=rest[0])
    ana.post("/team/move", id=rest[1], organisation_id=second)
    ana.post("/team/merge", destination=team, source=rest[2])
    ana.delete("/team/remove", id=rest[1])
    ana.delete("/organisation/remove", id=second)
    return team, rest[0]


def channels(ana: Client, bob: Client, organisation: str, teams: tuple[str, str], bob_id: str) -> str:
    """Gives the id of one that both are in."""
    channel = ana.post("/channel/edit", name="every-call", topic="All of it", organisation_id=organisation)["id"]
    side = ana.post("/channel/edit", name="on-the-side", topic="", organisation_id=organisation, team_id=teams[0])["id"]
    source = ana.post("/channel/edit", name="to-be-merged", topic="", organisation_id=organisation)["id"]
    ana.post("/channel/edit", id=channel, name="every-call-once", topic="All of it, once")
    ana.post("/channel/edit", type="direct", name="", topic="", organisation_id=organisation, members=bob_id)
    ana.get("/channel/read", id=channel)
    ana.get("/channel/search", query="every")
    ana.post("/channel/archive", id=side)
    ana.post("/channel/unarchive", id=side)
    ana.post("/channel/share", id=side, team_id=teams[1])
    ana.post("/channel/unshare", id=side, team_id=teams[1])
    ana.post("/channel/move", id=side, team_id=teams[1])
    ana.post("/channel/merge", destination=channel, source=source)
    ana.post("/channel/invite", id=channel, user_id=bob_id)
    ana.post("/channel/kick", id=channel, user_id=bob_id)
    bob.post("/channel/join", id=channel)
    bob.post("/channel/part", id=channel)
    bob.post("/channel/join", id=channel)
    bob.post("/channel/view", id=channel)
    bob.post("/channel/mute", id=channel)
    ana.get("/channel/members", id=channel)
    ana.delete("/channel/remove", id=side)
    return str(channel)


def messages(ana: Client, bob: Client, channel: str) -> None:
    first = ana.post("/message/edit", channel_id=channel, contents="Hello **everybody**", client_msg_id=f"first-{channel}")["id"]
    ana.post("/message/edit", id=first, contents="Hello *everybody*")
    reply = bob.post("/message/edit", channel_id=channel, contents="Hello ana", reply_to=first)["id"]
    ana.get("/message/read", channel_id=channel)
    ana.get("/message/read", id=first)
    ana.get("/message/search", query="hello", message_type="message")
    for verb in ("pin", "flag", "react", "unreact", "unflag", "unpin"):
        ana.post(f"/message/{verb}", id=reply, **({"emoji": "👍"} if "react" in verb else {}))
    ana.get("/message/thread", id=first)
    ana.get("/message/history", id=first)
    ana.get("/message/delivery", id=first)
    bob.delete("/message/remove", id=reply)


def bridges(ana: Client) -> None:
    """With the first bridge that is at work in the home organisation; where there is none, nothing can be linked."""
    for bridge in ana.get("/bridge/search")[:1]:
        channel = ana.post("/channel/edit", name="every-call-linked", topic="")["id"]
        links = [ana.post("/bridge/link", bridge=bridge["bridge"], channel_id=channel, room=f"#{channel}-{n}")["id"] for n in range(2)]
        ana.post("/bridge/unlink", id=links[0])
        ana.delete("/bridge/unlink", id=links[1])
        ana.post("/bridge/code", bridge=bridge["bridge"])
        ana.delete("/bridge/identity", bridge=bridge["bridge"])
        ana.delete("/channel/remove", id=channel)


def files(ana: Client, channel: str) -> None:
    message = ana.put("/message/attach", PICTURE, channel_id=channel, name="dot.png")
    ana.put("/message/attach", b"what we will do", message_id=message["id"], name="plan.txt")
    picture = message["attachments"][0]["id"]
    ana.get("/file/read", id=picture)
    ana.get("/file/preview", id=picture, size=160)
    avatar = ana.put("/user/avatar", PICTURE)["avatar"]
    ana.get("/file/avatar", id=avatar.partition("=")[2])
    ana.delete("/user/avatar")


def commands(ana: Client) -> None:
    """The first one that takes no arguments, if any; at home, where plugins are at work."""
    channel = ana.post("/channel/edit", name="every-command", topic="")["id"]
    bare = [each for each in ana.get("/command/search", channel_id=channel) if not any(one["required"] for one in each["arguments"])]
    for command in bare[:1]:
        ana.post("/command/run", channel_id=channel, command=command["name"])
    ana.delete("/channel/remove", id=channel)
    ana.get("/plugin/search")


def people(ana: Client, bob: Client) -> None:
    ana.get("/user/search", query="b")
    added = ana.post("/user/add", username=f"added-{secrets.token_hex(4)}")["id"]  # as an administrator of the server, as the next two
    ana.post("/user/suspend", id=added)
    ana.post("/user/unsuspend", id=added)
    ana.get("/user/me")
    ana.get("/user/read", id=bob.me["user"]["id"])
    ana.post("/user/edit", name=ana.me["user"]["name"])
    ana.post("/user/presence", status="away", text="Making every call")
    ana.post("/user/presence", status="available")
    sessions = bob.get("/user/sessions")
    bob.delete("/user/session", id=next(session["id"] for session in sessions if session["current"]))


def clients(url: str, names: list[str]) -> Iterator[Client]:
    for name, variable in zip(names, ("PASSWORD", "PASSWORD_2"), strict=True):
        yield Client(url, name, os.environ[variable])


def main() -> None:
    url, *names = sys.argv[1:]
    ana, bob = clients(url.rstrip("/"), names)
    bob_id = bob.me["user"]["id"]
    organisation = organisations(ana, bob_id)
    channel = channels(ana, bob, organisation, teams(ana, organisation, [ana.me["user"]["id"], bob_id]), bob_id)
    messages(ana, bob, channel)
    files(ana, channel)
    commands(ana)
    bridges(ana)
    ana.delete("/organisation/expel", id=organisation, user_id=bob_id)
    ana.delete("/organisation/remove", id=organisation)
    people(ana, bob)
    ana.post("/user/password", old=os.environ["PASSWORD"], new=os.environ["PASSWORD"])
    ana.post("/user/logout")
    sys.exit(1 if ana.failed or bob.failed else 0)


if __name__ == "__main__":
    main()
