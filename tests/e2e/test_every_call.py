"""The example that makes every call makes every call, and each is answered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.server import PASSWORD, Server

EXAMPLE = Path(__file__).parents[2] / "examples" / "every_call.py"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    server = Server(tmp_path)
    server.add_user("ana", "--admin")
    server.add_user("bob")
    server.start()
    return server


def test_a_client_of_plain_forms_can_make_every_call(server: Server) -> None:
    """With urlencoded forms and queries alone; what the OpenAPI has and the example has not fails this test by its name."""
    try:
        done = subprocess.run(
            [sys.executable, EXAMPLE, server.url, "ana", "bob"], env={"PASSWORD": PASSWORD, "PASSWORD_2": PASSWORD},
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip
        paths = httpx.get(server.url + "/openapi.json").json()["paths"]
    finally:
        server.close()
    assert done.returncode == 0, done.stdout + done.stderr
    made = {tuple(line.split()[:2]) for line in done.stdout.splitlines()}
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} - made == set()
