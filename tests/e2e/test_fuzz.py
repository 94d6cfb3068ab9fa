"""schemathesis over the OpenAPI: whatever anybody asks, nobody gets a server error, and answers are as described.

Each example is asked in turn by nobody, a guest, a member, and the organisation's owner, who administers the server. Most of its ids are
those of things that there are, of theirs and of others: so that calls reach deep, and not a 404 alone.

CRUST_TEST_FUZZ_EXAMPLES=200 make test TESTS=tests/e2e/test_fuzz.py      # the long run; the usual one has a tenth
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from crust.errors import CODES
from tests.support.fuzzing import ROLES, World, filled, id_names
from tests.support.server import Server

EXAMPLES = int(os.environ.get("CRUST_TEST_FUZZ_EXAMPLES", "20"))
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance,
]  # fmt: skip
STATUSES = {200, 206, 304, 416, *CODES.values()}
REFUSED = {400, 401, 403, 404, 410, 413, 422}  # 403: with a cookie, from another site
ENVIRONMENT = {"CRUST_LIMITS__ENABLED": "false", "CRUST_PASSWORDS__TIME_COST": "1", "CRUST_PASSWORDS__MEMORY_KIB": "8"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server with people and things on it, and no limits of rate."""
    server = Server(Path(tmp_path_factory.mktemp("fuzz")), ENVIRONMENT)
    for name in ("admin", "stranger", "member", "guest"):
        server.add_user(name, *(["--admin"] if name in ("admin", "stranger") else []))
    server.start()
    yield World(server)
    log = server.log()
    server.close()
    assert "Traceback" not in log, log[log.index("Traceback") - 2000 :][:6000]


def in_order(operation: Any) -> tuple[bool, bool, str]:
    """First what only reads, last the change of the password, which other calls are given."""
    return operation.path == "/user/password", operation.method != "get", operation.path


def asked(world: World, operation: Any, names: dict[str, str], seen: Counter[tuple[str, int]]) -> None:
    """Try one operation; its answers are counted by role and status."""
    is_open = operation.definition.raw["security"] == []

    @given(case=operation.as_strategy(), data=st.data())
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def one(case: schemathesis.Case[Any], data: st.DataObject) -> None:
        world.tried(case.method)
        filled(case, names, world.things, data)
        headers = dict(case.headers or {})
        for role in ROLES:
            case.headers = type(case.headers)(world.headers(role, case.path, headers))
            response = case.call_and_validate(checks=CHECKS)
            assert response.status_code in STATUSES, f"{role}: {case.method} {case.path}: {response.status_code}"
            assert role != "nobody" or is_open or response.status_code in REFUSED, f"{case.method} {case.path}: {response.status_code}"
            seen[role, response.status_code] += 1

    one()


@pytest.mark.timeout(7200)
def test_nobody_gets_a_server_error(world: World) -> None:
    """Any parameters, in any role: an answer or an error of the closed list, as the OpenAPI says; without a session nothing but errors."""
    api = schemathesis.openapi.from_url(world.server.url + "/openapi.json")
    operations = sorted((result.ok() for result in api.get_all_operations() if isinstance(result, Ok)), key=in_order)
    seen: Counter[tuple[str, int]] = Counter()
    for operation in operations:
        asked(world, operation, id_names(api.raw_schema, operation.path, operation.method), seen)
    assert len(operations) > 50
    for role in ROLES[1:]:  # it went deep: a good part was done
        total = sum(count for (who, _), count in seen.items() if who == role)
        assert seen[role, 200] > total / 8, sorted(seen.items())
    print(sorted(seen.items()))  # shown by pytest -s, for the long run
