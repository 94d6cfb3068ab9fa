"""The example that makes every call makes every call, and each is answered."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from crust.api import beside
from tests.support.server import PASSWORD, Server, call

SUPPORT = Path(__file__).parents[1] / "support"
CONFIG = """
plugins_dir = "plugins"
[plugins.hello]
[plugins.toy]
use = "loopback"
[plugins.toy.config]
address = "127.0.0.1:9"
"""
EXAMPLE = Path(__file__).parents[2] / "examples" / "every_call.py"

PLUGIN = """
from crust.plugin import Invocation, Plugin, hookimpl

class Hello(Plugin):
    api = 1

    @hookimpl
    def register_commands(self, commands):
        commands.add("hello", self.hello, help="Says hello.")

    async def hello(self, call: Invocation) -> str:
        return f"Hello {call.user.name}"
"""


@pytest.fixture
def server(tmp_path: Path) -> Server:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "hello.py").write_text(PLUGIN)
    shutil.copy(SUPPORT / "loopback.py", tmp_path / "plugins")
    (tmp_path / "config.toml").write_text(CONFIG)
    server = Server(tmp_path)
    server.add_user("ana", "--admin")
    server.add_user("bob")
    server.start()
    return server


def run(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLE, url, "ana", "bob"], env={"PASSWORD": PASSWORD, "PASSWORD_2": PASSWORD}, capture_output=True, text=True,
        timeout=50, check=False,
    )  # fmt: skip


def test_a_client_of_plain_forms_can_make_every_call(server: Server) -> None:
    """With urlencoded forms and queries alone; what the OpenAPI has and the example has not fails this test by its name.

    It makes them a second time on the same server, and leaves no organisation, channel or session behind.
    """
    try:
        runs = [run(server.url) for _ in range(2)]
        paths = httpx.get(server.url + "/openapi.json").json()["paths"]
        ana = server.sign_in("ana")
        left = {path: call(ana, "GET", path) for path in ("/organisation/search", "/channel/search", "/user/sessions")}
        me = call(ana, "GET", "/user/me")
    finally:
        server.close()
    assert [done.returncode for done in runs] == [0, 0], "\n".join(done.stdout[-300:] + done.stderr[-1500:] for done in runs)
    assert {path: len(found) for path, found in left.items()} == {"/organisation/search": 1, "/channel/search": 0, "/user/sessions": 1}
    assert (me["presence"], me["avatar"]) == ({"status": "offline", "text": None, "until": None}, None)
    made = {tuple(line.split()[:2]) for line in runs[0].stdout.splitlines()}
    there = {(method.upper(), path) for path, methods in paths.items() for method in methods if path not in beside.PATHS}
    assert there - made == set()
