"""HTTP that plugins answer: under their names or their kinds' prefixes, for everybody or for whoever is signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from quart import typing

from crust.host.registration import TAKEN, registered
from crust.runtime import Faces, opened
from crust.settings import Hosting, PluginInstance, Settings
from tests.support.hosting import Hosted, hosted
from tests.support.people import channel, person
from tests.support.plugins import instance, with_plugins, written

pytestmark = pytest.mark.asyncio

SOURCE = """
import asyncio

class Answers(Plugin[PluginConfig]):
    api = 1
    capabilities = frozenset({"read:public", "message:post", "channel:join"})
    PREFIX
    count = 0

    @hookimpl
    def register_routes(self, routes):
        routes.add("GET", "/", self.index, auth="public")
        routes.add("GET", "/who", self.who, auth="user")
        routes.add("POST", "/who", self.who, auth="user")
        routes.add("POST", "/in/{hook}", self.receive, auth="public", body_bytes=100)
        routes.add("GET", "/in/special", self.index, auth="public")
        routes.add("GET", "/in/{hook}", self.receive, auth="public")
        routes.add("GET", "/fail/{how}", self.fail, auth="public")
        routes.add("POST", "/post/{room}", self.post, auth="public")

    async def index(self, request: HttpRequest) -> str:
        return f"hello {request.path}"

    async def who(self, request: HttpRequest):
        return {"user": request.user_id, "headers": sorted(request.headers)}

    async def receive(self, request: HttpRequest) -> HttpResponse:
        body = repr((request.method, dict(request.params), dict(request.query), len(request.body), request.address, request.user_id))
        return HttpResponse(status=201, headers={"X-Hook": "yes", "Content-Type": "text/html"}, body=body)

    async def fail(self, request: HttpRequest):
        match request.params["how"]:
            case "conflict":
                raise Conflict("It is taken.")
            case "json":
                return request.json()
            case "bug":
                raise RuntimeError("s3cret")
            case "hang":
                await asyncio.sleep(60)
            case "cookie":
                return HttpResponse(headers={"Set-Cookie": "crust_session=x"})
            case "split":
                return HttpResponse(headers={"X-A": "a\\r\\nX-B: b"})
            case "status":
                return HttpResponse(status=99)
            case "none":
                return None
        return object()

    async def post(self, request: HttpRequest):
        await self.ctx.chat.join(request.params["room"])
        self.count += 1
        return {"id": await self.ctx.chat.post(request.params["room"], f"said {self.count}")}
"""


def source(prefix: str = "") -> str:
    return SOURCE.replace("PREFIX", f'prefix = "{prefix}"' if prefix else "")


class Site:
    """A node's app with plugins, and somebody who is signed in."""

    def __init__(self, at: Hosted, client: typing.TestClientProtocol, secret: str, user_id: int, room: int, faces: Faces) -> None:
        self.at, self.client, self.secret, self.user_id, self.room, self.faces = at, client, secret, user_id, room, faces

    async def ask(self, method: str, path: str, *, signed_in: bool = False, **how: Any) -> tuple[int, Any, dict[str, str]]:
        headers = {**how.pop("headers", {}), **({"X-Session-ID": self.secret} if signed_in else {})}
        answer = await self.client.open(path, method=method, headers=headers, **how)
        body = await answer.get_data(as_text=True)
        value = await answer.get_json() if answer.content_type == "application/json" else body
        return answer.status_code, value, {name.lower(): value for name, value in answer.headers.items()}


@asynccontextmanager
async def site(settings: Settings, folder: Path, **instances: PluginInstance) -> AsyncIterator[Site]:
    """These plugins; left out: one, `answers`."""
    settings = settings.model_copy(update={"hosting": Hosting(route_s=0.3)})
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
    instances = instances or {"answers": instance(written(folder, source()))}
    async with hosted(settings, folder, instances, running=False) as at:
        signed_in = await at.node.core.sessions.sign_in("ana", "correct horse", "client-ana", "", "")
        faces = Faces(at.node, await at.node.log.head(), at.host.routes)
        yield Site(at, faces.app.test_client(use_cookies=False), signed_in.secret, ana.user_id, room, faces)


async def test_requests_and_answers(settings: Settings, tmp_path: Path) -> None:
    """What is asked reaches the handler as it is, what it gives is answered; pages are kept apart; paths and methods are told."""
    async with site(settings, tmp_path) as s:
        assert (await s.ask("GET", "/plugins/answers"))[:2] == (200, "hello /")
        status, body, headers = await s.ask("GET", "/plugins/answers/")
        assert (status, body) == (200, "hello /")
        assert headers["content-security-policy"].endswith("sandbox")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-type"] == "text/plain; charset=utf-8"
        assert (await s.ask("GET", "/plugins/answers/in/special"))[:2] == (200, "hello /in/special")
        status, body, headers = await s.ask("POST", "/plugins/answers/in/a%20b?x=1&x=2", data=b"x" * 100)
        assert (status, headers["x-hook"], headers["content-type"]) == (201, "yes", "text/html")
        assert body.startswith("('POST', {'hook': 'a b'}, {'x': '1'}, 100, ")
        assert (await s.ask("HEAD", "/plugins/answers/in/x"))[0] == 201
        assert (await s.ask("POST", "/plugins/answers/in/x", data=b"x" * 101))[1]["error"]["code"] == "too_large"
        assert (await s.ask("DELETE", "/plugins/answers/in/x"))[0] == 405
        for missing in (
            "/plugins/answers/nowhere",
            "/plugins/answers/in/a/b",
            "/plugins/other",
            "/plugins/other/in/x",
            "/plugins",
            "/hook/in/x",
        ):
            assert (await s.ask("GET", missing))[0] == 404, missing
        routes = {key[1] for key in s.at.node.metrics.request_seconds.cells}
        assert {"plugin:answers", "/plugins/<instance>"} <= routes


async def test_who_may(settings: Settings, tmp_path: Path) -> None:
    """A route for users takes a session, as the API does, from no other site's page; the handler is not shown it."""
    async with site(settings, tmp_path) as s:
        assert (await s.ask("GET", "/plugins/answers/who"))[1]["error"]["code"] == "unauthenticated"
        _, answer, _ = await s.ask("GET", "/plugins/answers/who", signed_in=True)
        assert answer["user"] == str(s.user_id)
        assert "x-session-id" not in answer["headers"]
        cookie = {"Cookie": f"crust_session={s.secret}; crust_client=client-ana"}
        assert (await s.ask("GET", "/plugins/answers/who", headers=cookie))[1]["user"] == str(s.user_id)
        assert (await s.ask("POST", "/plugins/answers/who", headers=cookie))[1]["error"]["code"] == "forbidden"
        foreign = {**cookie, "Origin": "https://elsewhere.example"}
        assert (await s.ask("POST", "/plugins/answers/who", headers=foreign))[0] == 403


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("conflict", "conflict"), ("json", "bad_request"), ("bug", "unavailable"), ("hang", "unavailable"), ("cookie", "unavailable"),
        ("split", "unavailable"), ("status", "unavailable"), ("object", "unavailable"), ("none", None),
    ],
)  # fmt: skip
async def test_how_it_fails(settings: Settings, tmp_path: Path, how: str, code: str | None) -> None:
    """In the API's form; what is meant for operators is not told."""
    async with site(settings, tmp_path) as s:
        status, answer, _ = await s.ask("GET", f"/plugins/answers/fail/{how}")
        if code is None:
            assert (status, answer) == (204, "")
        else:
            assert answer["error"]["code"] == code
            assert "s3cret" not in str(answer)


async def test_a_request_that_comes_again(settings: Settings, tmp_path: Path) -> None:
    """With an Idempotency-Key it says nothing twice."""
    async with site(settings, tmp_path) as s:
        path, key = f"/plugins/answers/post/{s.room}", {"Idempotency-Key": "one"}
        first, second, other = [(await s.ask("POST", path, headers=headers))[1]["id"] for headers in (key, key, {})]
        assert first == second != other


async def test_prefixes(settings: Settings, tmp_path: Path) -> None:
    """A kind may claim one; it is its one instance's alone, and nothing of it stands under the instance's name."""
    name = written(tmp_path, source("/hook"))
    async with site(settings, tmp_path, first=instance(name), second=instance(name)) as s:
        assert (await s.ask("GET", "/hook"))[1] == "hello /"
        assert (await s.ask("GET", "/hook/in/x"))[0] == 201
        for path in ("/plugins/first/in/x", "/plugins/second/in/x", "/hooks"):
            assert (await s.ask("GET", path))[0] == 404
        [refused] = s.at.host.refused
        assert refused.problems == ("plugins.second: /hook is claimed by first already: only one of the two can be enabled",)
        assert (await s.ask("GET", "/user/me"))[0] == 401


async def test_the_servers_own_paths_cannot_be_claimed(settings: Settings, tmp_path: Path) -> None:
    """Neither what the API has, nor what is no prefix; the list has all that the app answers."""
    for prefix, problem in (("/channel", "is the server's own"), ("hook", "has to be / and a word"), ("/a/b", "has to be / and a word")):
        _, [refused] = registered(with_plugins(settings, tmp_path, it=instance(written(tmp_path, source(prefix)))))
        assert problem in refused.problems[0]
    async with site(settings, tmp_path) as s:
        first = {rule.rule.split("/")[1] for rule in s.faces.app.url_map.iter_rules()}
        assert {word for word in first if "." not in word and word and "<" not in word} <= TAKEN


async def test_what_cannot_be_offered(settings: Settings, tmp_path: Path) -> None:
    """Each mistake is named, and the others are at work."""
    bad = """
class Bad(Plugin):
    api = 1
    @hookimpl
    def register_routes(self, routes):
        routes.add("FETCH", "/", self.one, auth="public")
        routes.add("GET", "x", self.one, auth="public")
        routes.add("GET", "/{a}/{a}", self.one, auth="public")
        routes.add("GET", "/{a}", self.one, auth="public")
        routes.add("GET", "/{b}", self.one, auth="public")
        routes.add("GET", "/c", self.two, auth="public")
        routes.add("GET", "/d", self.one)
    async def one(self, request): ...
    def two(self, request): ...
"""
    async with site(settings, tmp_path, bad=instance(written(tmp_path, bad)), answers=instance(written(tmp_path, source()))) as s:
        [refused] = s.at.host.refused
        assert [problem.partition(": the route ")[2].partition(": ")[0] for problem in refused.problems] == [
            "FETCH /", "GET x", "GET /{a}/{a}", "GET /{b}", "GET /c", "GET /d",
        ]  # fmt: skip
        assert (await s.ask("GET", "/plugins/answers"))[0] == 200
