"""schemathesis over the OpenAPI: whatever is asked, by whomever, nobody gets a server error, and answers are as described.

CRUST_TEST_FUZZ_EXAMPLES=200 make test TESTS=tests/e2e/test_fuzz.py      # the long run; the usual one has a tenth

Every other example names things that there are, so that calls get further than "not found": ids of the home organisation and of another
one, of channels of each type, messages, files, people.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from crust.api import beside
from tests.support.pictures import picture
from tests.support.server import Server, call

EXAMPLES = int(os.environ.get("CRUST_TEST_FUZZ_EXAMPLES", "20"))
ENDS_THE_SESSION = r"/user/(logout|session|password)$"
OPERATIONS = 15  # fewer would mean that the description was not read
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ROLES = ("guest", "member", "admin")
CHANNELS = ("id", "channel_id", "destination", "source")


@dataclass
class World:
    """A server, who is on it, and the ids of what there is, by kind."""

    server: Server
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)

    def of(self, path: str, name: str) -> list[str]:
        """What a parameter of a call may name."""
        noun = path.split("/")[1] if name in ("id", "destination", "source", "members") else name.removesuffix("_id")
        return self.ids.get("user" if name == "members" else noun, [])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A guest, a member and an administrator, who owns the home organisation; an organisation of somebody else's; no limits of rate."""
    server = Server(Path(tmp_path_factory.mktemp("fuzz")), {"CRUST_LIMITS__ENABLED": "false"})
    for name, *flags in (("admin", "--admin"), ("member",), ("guest",), ("stranger", "--admin")):
        server.add_user(name, *flags)
    server.start()
    world = World(server)
    admin, member, guest, stranger = (server.sign_in(name) for name in ("admin", "member", "guest", "stranger"))
    people = {str(call(each, "GET", "/user/me")["username"]): call(each, "GET", "/user/me") for each in (admin, member, guest, stranger)}
    home = str(people["admin"]["organisation_id"])
    call(admin, "POST", "/organisation/role", id=home, user_id=people["guest"]["id"], role="guest")
    call(stranger, "DELETE", "/organisation/expel", id=home, user_id=people["stranger"]["id"])
    world.ids["user"] = [str(each["id"]) for each in people.values()]
    world.ids["organisation"] = [home, str(call(stranger, "POST", "/organisation/edit", name="Elsewhere")["id"])]
    fill(world, admin, home, [world.ids["user"][1], world.ids["user"][2]])
    fill(world, stranger, world.ids["organisation"][1], [])
    for role, client in zip(ROLES, (guest, member, admin), strict=True):
        world.headers[role] = {name: client.headers[name] for name in ("X-Session-ID", "X-Client-ID")}
    yield world
    log = server.log()
    server.close()
    assert "Traceback" not in log, log[log.index("Traceback") - 2000 :][:6000]


def fill(world: World, client: httpx.Client, organisation: str, members: list[str]) -> None:
    """Some of everything in an organisation."""

    def keep(kind: str, made: dict[str, object]) -> str:
        world.ids.setdefault(kind, []).append(str(made["id"]))
        return str(made["id"])

    team = keep("team", call(client, "POST", "/team/edit", name="Team", organisation_id=organisation, members=members[:1]))
    keep("invitation", call(client, "POST", "/organisation/invite", id=organisation, uses=100))
    for type_ in ("public", "private"):
        made = call(
            client, "POST", "/channel/edit", name=type_, topic="", type=type_, organisation_id=organisation, members=members,
            **({"team_id": team} if type_ == "public" else {}),
        )  # fmt: skip
        channel = keep("channel", made)
        message = keep("message", call(client, "POST", "/message/edit", channel_id=channel, contents="hello *there*"))
        call(client, "POST", "/message/edit", id=message, contents="hello again")
        posted = client.put("/message/attach", params={"channel_id": channel, "name": "a.png"}, content=picture(20, 10)).json()["response"]
        keep("message", posted)
        keep("file", posted["attachments"][0])


@pytest.fixture(scope="module")
def api(world: World) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(world.server.url + "/openapi.json").exclude(path_regex=ENDS_THE_SESSION)


def aimed(case: schemathesis.Case[Any], world: World, chance: random.Random) -> schemathesis.Case[Any]:
    """The same, with things that there are for what names something, half of the time."""
    for part in (case.query, case.body):
        if not isinstance(part, dict) or chance.random() < 0.5:
            continue
        for name in part:
            if ids := world.of(case.path, name):
                part[name] = [chance.choice(ids)] if name == "members" else chance.choice(ids)
    return case


def fuzz(api: schemathesis.BaseSchema, world: World, examples: int, headers: dict[str, str], allowed: set[int] | None = None) -> set[int]:
    """Try every operation; gives the statuses that came. (schemathesis' own pytest plug-in does not work with this pytest.)"""
    operations = [result.ok() for result in api.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) > OPERATIONS
    chance, statuses = random.Random(7), set[int]()
    for operation in operations:

        @seed(7)
        @given(case=operation.as_strategy())
        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def one(case: schemathesis.Case[Any]) -> None:
            response = aimed(case, world, chance).call_and_validate(headers=headers, checks=CHECKS)
            statuses.add(response.status_code)
            assert allowed is None or response.status_code in allowed, f"{case.method} {case.path}: {response.status_code}"

        one()
    return statuses


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("role", ROLES)
def test_nobody_gets_a_server_error(api: schemathesis.BaseSchema, world: World, role: str) -> None:
    """Signed in as a guest, a member, an administrator, any parameters: an answer or an error of the closed list, as the OpenAPI says."""
    assert {200, 404, 422} <= fuzz(api, world, EXAMPLES, world.headers[role])


@pytest.mark.timeout(3600)
def test_a_stranger_gets_no_server_error_and_nothing_else(api: schemathesis.BaseSchema, world: World) -> None:
    """Without a session every call is refused, in the same form, but for the two that begin one."""
    calls = api.exclude(path=[*beside.PATHS])
    assert 401 in fuzz(calls, world, max(2, EXAMPLES // 4 if EXAMPLES < 200 else EXAMPLES), {}, allowed={400, 401, 403, 410, 413, 422, 429})
