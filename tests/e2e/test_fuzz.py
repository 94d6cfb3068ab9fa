"""schemathesis over the OpenAPI: whatever is asked, nobody gets a server error, and answers are as described.

CRUST_TEST_FUZZ_EXAMPLES=200 make test TESTS=tests/e2e/test_fuzz.py      # the long run; the usual one has a tenth
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.support.pictures import picture
from tests.support.server import Server, call

EXAMPLES = int(os.environ.get("CRUST_TEST_FUZZ_EXAMPLES", "20"))
ENDS_THE_SESSION = r"/user/(logout|session$)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with something on it, and no limits of rate."""
    server = Server(Path(tmp_path_factory.mktemp("fuzz")), {"CRUST_LIMITS__ENABLED": "false"})
    for name in ("ana", "bob"):
        server.add_user(name)
    server.start()
    ana = server.sign_in("ana")
    channel = call(ana, "POST", "/channel/edit", name="general", topic="")["id"]
    call(ana, "POST", "/message/edit", channel_id=channel, contents="hello")
    ana.put("/message/attach", params={"channel_id": str(channel), "name": "a.png"}, content=picture(20, 10)).raise_for_status()
    yield server
    log = server.log()
    server.close()
    assert "Traceback" not in log, log[log.index("Traceback") - 2000 :][:6000]


@pytest.fixture(scope="module")
def api(server: Server) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(server.url + "/openapi.json").exclude(path_regex=ENDS_THE_SESSION)


def fuzz(api: schemathesis.BaseSchema, examples: int, headers: dict[str, str], allowed: set[int] | None = None) -> int:
    """Try every operation; gives their number. (schemathesis' own pytest plug-in does not work with this pytest.)"""
    operations = [result.ok() for result in api.get_all_operations() if isinstance(result, Ok)]
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def one(case: schemathesis.Case[Any]) -> None:
            response = case.call_and_validate(headers=headers, checks=[not_a_server_error, response_schema_conformance])
            assert allowed is None or response.status_code in allowed, f"{case.method} {case.path}: {response.status_code}"

        one()
    return len(operations)


@pytest.mark.timeout(1200)
def test_a_member_gets_no_server_error(api: schemathesis.BaseSchema, server: Server) -> None:
    """Signed in, any parameters: an answer or an error of the closed list, as the OpenAPI says."""
    client = server.sign_in("bob")
    headers = {name: client.headers[name] for name in ("X-Session-ID", "X-Client-ID")}
    assert fuzz(api, EXAMPLES, headers) > 15


@pytest.mark.timeout(1200)
def test_a_stranger_gets_no_server_error_and_nothing_else(api: schemathesis.BaseSchema) -> None:
    """Without a session every call is refused, in the same form."""
    assert fuzz(api, max(2, EXAMPLES // 4), {}, allowed={400, 401, 403, 413, 422, 429}) > 15
