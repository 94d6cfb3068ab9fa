"""Sessions against the OWASP Application Security Verification Standard 4.0.3: a dozen of its requirements, over HTTP and the websocket.

Each test names the requirement that it stands for. Beside them stand the tests of single parts: `tests/contracts/test_accounts.py`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.server import PASSWORD, Server

STRANGE = "https://evil.example.net"
SESSION = re.compile(r"crust_session=([^;]+)")
COST = {"CRUST_PASSWORDS__TIME_COST": "1", "CRUST_PASSWORDS__MEMORY_KIB": "19456"}  # a hash of some 10 ms: much more than all else


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {**COST, "CRUST_TRUSTED_PROXIES": "127.0.0.1", "CRUST_PUBLIC_URL": "https://chat.example.org"}
    server = Server(Path(tmp_path_factory.mktemp("asvs")), environment)
    for name in ("ana", "bob", "guessed"):
        server.add_user(name)
    server.start()
    yield server
    server.close()


def browser(server: Server, address: str = "192.0.2.1", **headers: str) -> httpx.Client:
    """Requests as they come through the proxy, which has TLS, from some address."""
    forwarded = {"X-Forwarded-For": address, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example.org"}
    return httpx.Client(base_url=server.url, headers={**forwarded, **headers}, timeout=20)


def login(client: httpx.Client, name: str = "ana", password: str = PASSWORD, **fields: str) -> httpx.Response:
    return client.post("/user/login", data={"username": name, "password": password, **fields})


def secret_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["response"]["session_id"])


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def close_code(server: Server, headers: Mapping[str, str], act: Any) -> int:
    """How a socket ends after something was done elsewhere."""
    async with connect(server.websocket_url, additional_headers=dict(headers)) as socket:
        while json.loads(await socket.recv()).get("type") != "ready":
            pass
        await asyncio.to_thread(act)
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(5):
                while True:
                    await socket.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_a_new_session_id_with_every_sign_in(server: Server) -> None:
    """3.2.1: session fixation. Whatever id came along, by cookie, header or field, is not adopted; every sign-in has a new one."""
    planted = "planted" * 7
    with browser(server) as client:
        client.cookies.set("crust_session", planted)
        first = login(client, session_id=planted)
        client.headers["X-Session-ID"] = planted
        second = login(client)
    secrets = {secret_of(first), secret_of(second)}
    assert len(secrets) == 2
    assert planted not in secrets
    assert httpx.get(server.url + "/user/me", headers=bearer(planted)).status_code == 401


def test_a_session_id_has_entropy_and_is_stored_hashed(server: Server) -> None:
    """3.2.2, 3.2.4, 2.9: at least 64 bits; here 256 of a cryptographic source, of which the database has only a hash."""
    with browser(server) as client:
        secrets = [secret_of(login(client)) for _ in range(5)]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", secret) for secret in secrets)
    assert len({secret[position] for secret in secrets for position in range(43)}) > 20
    with closing(sqlite3.connect(server.folder / "data" / "crust.db")) as database:
        dump = "\n".join(database.iterdump())
    assert "token_hash" in dump
    assert not any(secret in dump for secret in secrets)


def test_signing_out_ends_the_session_on_the_server(server: Server) -> None:
    """3.3.1: not only the cookie goes. The id is refused from then on, and its open socket is closed."""
    with browser(server) as client:
        headers = bearer(secret_of(login(client)))
        client.cookies.clear()
        ended = asyncio.run(close_code(server, headers, lambda: client.post("/user/logout", headers=headers).raise_for_status()))
        assert ended == 4001
        assert client.get("/user/me", headers=headers).status_code == 401


def test_another_password_ends_all_other_sessions(server: Server) -> None:
    """3.3.3, 2.1.5, 2.1.6: it needs the old one, ends every other session at once, open sockets included, and keeps the one that asks."""
    with browser(server) as here, browser(server, "192.0.2.2") as there:
        mine, other = bearer(secret_of(login(here, "bob"))), bearer(secret_of(login(there, "bob")))
        here.cookies.clear()
        assert here.post("/user/password", data={"old": "wrong", "new": "battery staple"}, headers=mine).status_code == 422
        assert here.get("/user/me", headers=other).status_code == 200

        def change() -> None:
            here.post("/user/password", data={"old": PASSWORD, "new": "battery staple"}, headers=mine).raise_for_status()

        assert asyncio.run(close_code(server, other, change)) == 4001
        assert here.get("/user/me", headers=other).status_code == 401
        assert here.get("/user/me", headers=mine).status_code == 200
        here.post("/user/password", data={"old": "battery staple", "new": PASSWORD}, headers=mine).raise_for_status()


def test_sessions_are_listed_and_ended_one_by_one(server: Server) -> None:
    """3.3.4: with where and when; one's own alone, and the list shows no secret."""
    with browser(server, "198.51.100.7", **{"User-Agent": "Firefox"}) as client, browser(server) as other:
        mine, second = secret_of(login(client)), secret_of(login(other))
        client.cookies.clear()
        listed = client.get("/user/sessions", headers=bearer(mine))
        assert mine not in listed.text
        assert second not in listed.text
        found = listed.json()["response"]
        own = next(each for each in found if each["current"])
        assert (own["address"], own["agent"]) == ("198.51.100.7", "Firefox")
        assert own["created_at"]
        newest = max((each for each in found if not each["current"]), key=lambda each: int(each["id"]))
        with browser(server) as bob:
            theirs = bearer(secret_of(login(bob, "bob")))
            assert bob.delete("/user/session", params={"id": newest["id"]}, headers=theirs).status_code == 404
        client.delete("/user/session", params={"id": newest["id"]}, headers=bearer(mine)).raise_for_status()
        assert client.get("/user/me", headers=bearer(second)).status_code == 401


def test_the_cookie_has_its_flags(server: Server) -> None:
    """3.4.1, 3.4.2, 3.4.3, 3.4.5: Secure where the client speaks TLS, HttpOnly, SameSite, for this host and the whole of it."""
    with browser(server) as client:
        cookies = [value for name, value in login(client).headers.multi_items() if name == "set-cookie"]
    with httpx.Client(base_url=server.url) as plain:
        without = [value for name, value in login(plain).headers.multi_items() if name == "set-cookie"]
    (session,) = [cookie for cookie in cookies if cookie.startswith("crust_session=")]
    for flag in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="):
        assert flag in session
    assert "Domain" not in session
    assert not any("Secure" in cookie for cookie in without)


def test_the_session_is_not_taken_from_the_address(server: Server) -> None:
    """3.1.1, 13.1.3: a session id in a query lands in logs and histories: it is no session there, nor on the websocket."""
    with browser(server) as client:
        secret = secret_of(login(client))
        client.cookies.clear()
        for name in ("session_id", "crust_session", "X-Session-ID", "token", "access_token"):
            assert client.get("/user/me", params={name: secret}).status_code == 401

    async def upgrade() -> None:
        async with connect(f"{server.websocket_url}?session_id={secret}") as socket:
            await socket.send(json.dumps({"id": "1", "type": "ping", "data": {}}))
            assert json.loads(await socket.recv())["error"]["code"] == "unauthenticated"

    asyncio.run(upgrade())
    assert secret not in server.log()


ORIGINS = (STRANGE, "null", "https://chat.example.org.evil.example.net", "http://chat.example.org", "https://sub.chat.example.org", "")


@pytest.mark.parametrize("origin", ORIGINS)
def test_another_site_cannot_change_anything_with_the_cookie(server: Server, origin: str) -> None:
    """4.2.2, 13.2.3: request forgery. A form of another site, a sibling or none is refused, whatever its Referer; this site's is not."""
    with browser(server) as client:
        cookie = {"Cookie": f"crust_session={secret_of(login(client))}"}
        client.cookies.clear()
        headers = {**cookie, "Referer": "https://chat.example.org/", **({"Origin": origin} if origin else {})}
        forged = client.post("/user/edit", data={"name": "Forged"}, headers=headers)
        assert (forged.status_code, forged.json()["error"]["code"]) == (403, "forbidden")
        own = client.post("/user/edit", data={"name": "Ana"}, headers={**cookie, "Origin": "https://chat.example.org"})
        assert own.json()["response"]["name"] == "Ana"


@pytest.mark.parametrize("origin", [STRANGE, "null", "https://chat.example.org.evil.example.net", None])
def test_another_site_cannot_open_a_websocket_with_the_cookie(server: Server, origin: str | None) -> None:
    """13.5.1, 4.2.2: websocket hijacking. With a cookie the Origin has to be this site's; with a header there is no such danger."""
    with browser(server) as client:
        secret = secret_of(login(client))

    async def opened(headers: dict[str, str]) -> int:
        try:
            async with connect(server.websocket_url, additional_headers=headers, origin=None) as socket:
                return 101 if json.loads(await socket.recv())["type"] == "hello" else 0
        except InvalidStatus as refused:
            return refused.response.status_code

    forwarded = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example.org"}
    cookie = {**forwarded, "Cookie": f"crust_session={secret}"}
    assert asyncio.run(opened({**cookie, **({"Origin": origin} if origin else {})})) in (401, 403)
    assert asyncio.run(opened({**cookie, "Origin": "https://chat.example.org"})) == 101
    assert asyncio.run(opened(bearer(secret))) == 101


def test_nobody_learns_who_has_an_account(server: Server) -> None:
    """2.2.1, 3.7: enumeration. A wrong password and an unknown name are the same answer, but for the request's id, in the same time."""

    def timed(name: str, number: int) -> tuple[float, int, dict[str, Any]]:
        with browser(server, f"203.0.113.{number}") as client:
            began = time.perf_counter()
            answer = login(client, name, "wrong password")
            took = time.perf_counter() - began
        error = answer.json()["error"]
        error.pop("request_id")
        return took, answer.status_code, error

    both = [(timed("ana", number), timed(f"nobody{number}", number + 12)) for number in range(1, 13)]
    known, unknown = zip(*both, strict=True)
    assert {(status, str(error)) for _, status, error in (*known, *unknown)} == {(401, str(known[0][2]))}
    times = [min(took for took, _, _ in each) for each in (known, unknown)]  # other work on the machine only adds to them
    assert max(times) < 1.5 * min(times), times  # a hash is nearly all of it: without one it would be a tenth


def test_guessing_is_slowed_down_and_nobody_is_locked_out(server: Server) -> None:
    """2.2.1: five wrong passwords from one address, then a growing delay there; sessions go on, and from elsewhere the right one works."""
    with browser(server, "198.51.100.99") as owner, browser(server, "203.0.113.99") as guesser:
        session = bearer(secret_of(login(owner, "guessed")))
        answers = [login(guesser, "guessed", f"guess{number}") for number in range(8)]
        assert [answer.status_code for answer in answers[:5]] == [401] * 5
        assert {answer.status_code for answer in answers[6:]} == {429}
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert login(guesser, "guessed", PASSWORD).status_code == 429  # the right one too, from there
        owner.cookies.clear()
        assert owner.get("/user/me", headers=session).status_code == 200
        assert login(owner, "guessed").status_code == 200


def test_a_forged_address_does_not_get_around_it(tmp_path: Path) -> None:
    """12.5, 2.2.1: forwarding headers count only from a proxy that the settings trust; here from none."""
    server = Server(tmp_path, COST)
    server.add_user("ana")
    server.start()
    try:
        statuses = []
        for number in range(8):
            with browser(server, f"203.0.113.{number}") as client:
                statuses.append(login(client, "ana", "wrong").status_code)
        assert statuses[-1] == 429, statuses
        assert "203.0.113" not in server.log()
    finally:
        server.close()


def test_a_session_belongs_to_one_client(server: Server) -> None:
    """3.5.3, 3.5: an id that comes with another Client ID than its own is refused."""
    with browser(server) as client:
        headers = bearer(secret_of(login(client, client_id="laptop")))
        client.cookies.clear()
        assert client.get("/user/me", headers={**headers, "X-Client-ID": "laptop"}).status_code == 200
        assert client.get("/user/me", headers={**headers, "X-Client-ID": "elsewhere"}).status_code == 401


def test_answers_are_not_kept_and_other_sites_cannot_read_them(server: Server) -> None:
    """8.2.1, 14.4.4, 14.5.3: no cache keeps what a session was told; no other origin is let in by CORS; types are not guessed."""
    with browser(server) as client:
        headers = bearer(secret_of(login(client)))
        for method in ("GET", "OPTIONS"):
            answer = client.request(method, "/user/me", headers={**headers, "Origin": STRANGE, "Access-Control-Request-Method": "GET"})
            assert not any(name.lower().startswith("access-control-") for name in answer.headers)
        answer = client.get("/user/me", headers=headers)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_who_is_suspended_is_out_within_five_seconds(server: Server) -> None:
    """3.3.1, 4.1.3: also by another process, on HTTP and on the socket that is open."""
    with browser(server) as client:
        headers = bearer(secret_of(login(client, "bob")))
        began = time.monotonic()
        assert asyncio.run(close_code(server, headers, lambda: server.run("user", "suspend", "bob"))) in (4001, 4003)
        assert client.get("/user/me", headers=headers).status_code == 401
        assert time.monotonic() - began < 10  # of which the command itself takes two or three
        assert login(client, "bob").status_code == 401
        assert server.run("user", "unsuspend", "bob").returncode == 0
        assert client.get("/user/me", headers=headers).status_code == 401
        assert login(client, "bob").status_code == 200
