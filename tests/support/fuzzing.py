"""What random calls are made with: people in several roles, and the ids of things that there are."""

from __future__ import annotations

from typing import Any

import httpx
from hypothesis import strategies as st

from tests.support.pictures import picture
from tests.support.server import PASSWORD, Server, call

ROLES = ("nobody", "guest", "member", "admin")
RENEWED_AFTER = 40  # calls that may have changed or removed what there is
NOUNS = {
    "user_id": "user", "members": "user", "team_id": "team", "organisation_id": "organisation", "channel_id": "channel",
    "destination": "channel", "source": "channel", "message_id": "message", "reply_to": "message", "before": "message", "after": "message",
    "around": "message", "username": "username", "password": "password", "old": "password", "invitation": "invitation secret",
}  # fmt: skip
"""What a parameter names, where it is not the noun in the call's path."""
OTHER_NOUNS = {
    ("/organisation/invitation", "id"): "invitation", ("/file/avatar", "id"): "avatar", ("/user/session", "id"): "session",
    ("/team/merge", "destination"): "team", ("/team/merge", "source"): "team",
}  # fmt: skip
ENDS_THE_SESSION = {"/user/logout", "/user/session"}


class World:
    """A server with an organisation that the roles are in, made anew from time to time, and one that they are not in and cannot change."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._clients = {name: server.sign_in(name) for name in ("admin", "stranger", "member", "guest")}
        self._users = {name: str(call(client, "GET", "/user/me")["id"]) for name, client in self._clients.items()}
        home = call(self._clients["admin"], "GET", "/user/me")["organisation_id"]
        self.things: dict[str, list[str]] = {"user": list(self._users.values()), "username": list(self._users), "password": [PASSWORD]}
        self._furnish("stranger", {})
        self._others = {noun: list(things) for noun, things in self.things.items()}
        self._calls = 0
        self.renew()
        for name in ("guest", "stranger"):  # the guest is nothing but a guest, and the stranger is only where the others are not
            call(self._clients["admin"], "DELETE", "/organisation/expel", id=home, user_id=self._users[name])

    def tried(self, method: str) -> None:
        """Say that a call is made."""
        self._calls += method != "GET"
        if self._calls >= RENEWED_AFTER:
            self.renew()

    def renew(self) -> None:
        """Make everything anew."""
        self._calls = 0
        self.things = {noun: list(things) for noun, things in self._others.items()}
        self._furnish("admin", {"member": "member", "guest": "guest"})

    def _furnish(self, owner: str, others: dict[str, str]) -> None:
        client = self._clients[owner]
        place = self._made("organisation", client, "/organisation/edit", name="Somewhere")
        for name, role in others.items():
            call(client, "POST", "/organisation/invite", id=place, user_id=self._users[name], role=role)
        link = call(client, "POST", "/organisation/invite", id=place, uses=1000)
        self._add("invitation", link["id"])
        self._add("invitation secret", str(link["url"]).partition("token=")[2])
        people = [self._users[name] for name in others]
        teams = [self._made("team", client, "/team/edit", name="Team", organisation_id=place, members=people[:1]) for _ in range(2)]
        shown = client.put("/user/avatar", content=picture(8, 8)).json()["response"]
        self._add("avatar", shown["avatar"].partition("=")[2])
        self._channels(client, place, teams, people)
        self._add("session", call(client, "GET", "/user/sessions")[0]["id"])  # type: ignore[index]  # it is a list

    def _channels(self, client: httpx.Client, place: str, teams: list[str], people: list[str]) -> None:
        usual: dict[str, Any] = {"name": "room", "topic": "", "organisation_id": place}
        kinds: list[dict[str, Any]] = [
            {"members": people}, {"members": people, "type": "private"}, {}, {"type": "private"}, {"team_id": teams[0]},
            {"members": people}, *({"type": "direct", "members": [user_id]} for user_id in people),
        ]  # fmt: skip
        shared = ""
        for number, kind in enumerate(kinds):
            channel = self._made("channel", client, "/channel/edit", **{**usual, **kind})
            message = self._made("message", client, "/message/edit", channel_id=channel, contents="hello")
            self._made("message", client, "/message/edit", channel_id=channel, contents="hello again", reply_to=message)
            call(client, "POST", "/message/pin", id=message)
            call(client, "POST", "/message/react", id=message, emoji="+1")
            shared = shared or channel
            if number < 2:
                self._send(client, channel)
            if number == 5:
                call(client, "POST", "/channel/archive", id=channel)
        for name in ("member", "guest") if people else ():
            self._made("message", self._clients[name], "/message/edit", channel_id=shared, contents="mine")

    def _send(self, client: httpx.Client, channel: str) -> None:
        answer = client.put("/message/attach", params={"channel_id": channel, "name": "a.png"}, content=picture(20, 10)).json()
        self._add("message", answer["response"]["id"])
        self._add("file", answer["response"]["attachments"][0]["id"])

    def _made(self, noun: str, client: httpx.Client, path: str, **fields: Any) -> str:
        made = call(client, "POST", path, **fields)
        self._add(noun, made["id"])
        return str(made["id"])

    def _add(self, noun: str, thing: object) -> None:
        self.things.setdefault(noun, []).append(str(thing))

    def headers(self, role: str, path: str, given: dict[str, str]) -> dict[str, str]:
        """Those that a case has, with a session of the role's instead of its own: a new one where the call ends it."""
        if role == "nobody":
            return given
        own = {name: value for name, value in given.items() if name != "Authorization"}
        client = self.server.sign_in(role) if path in ENDS_THE_SESSION else self._clients[role]
        return {**own, **{name: client.headers[name] for name in ("X-Session-ID", "X-Client-ID")}}


def id_names(document: dict[str, Any], path: str, method: str) -> dict[str, str]:
    """The parameters of an operation that name something: name → noun."""
    operation = document["paths"][path][method]
    names = {each["name"] for each in operation["parameters"] if each["in"] == "query"}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        names |= set(schema.get("properties", ()))
    nouns = {**NOUNS, "id": path.split("/")[1]}
    return {name: OTHER_NOUNS.get((path, name), nouns[name]) for name in sorted(names & set(nouns))}


def filled(case: Any, names: dict[str, str], things: dict[str, list[str]], data: st.DataObject) -> None:
    """Let a case name things that there are, mostly of the right kind."""
    fields = case.query if case.method in ("GET", "DELETE") or not isinstance(case.body, dict) else case.body
    if not isinstance(fields, dict):
        return
    for name, noun in names.items():
        required = name in fields
        how = data.draw(st.sampled_from(["right"] * 6 + ["any", "as it is"] if required else ["right", "as it is", "as it is"]))
        if how == "as it is":
            continue
        kinds = things.get(noun, []) if how == "right" else [thing for each in sorted(things) for thing in things[each]]
        if kinds:
            found = data.draw(st.sampled_from(kinds))
            fields[name] = [found] if name == "members" else found
