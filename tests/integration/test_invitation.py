"""An invitation, from the call that makes it over the page that its link opens to the first message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.html import Page
from tests.support.server import PASSWORD, Server, call
from tests.support.wire import seconds_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(Path(tmp_path_factory.mktemp("invitation")))
    server.add_user("ana", "--admin")
    server.start()
    yield server
    server.close()


@pytest.fixture
def link(server: Server) -> str:
    """A new one, for two."""
    ana = server.sign_in("ana")
    home = call(ana, "GET", "/user/me")["organisation_id"]
    return str(call(ana, "POST", "/organisation/invite", id=home, uses=2)["url"])


def typed(link: str, **fields: str) -> dict[str, str]:
    return {"token": link.partition("token=")[2], "username": "bob", "name": "", "email": "", "password": PASSWORD, **fields}


def test_the_page_makes_an_account(server: Server, link: str) -> None:
    """Without a script, a cookie or anything from elsewhere; then bob signs in. What was wrong is said beside its field."""
    shown = httpx.get(link)
    page = Page(shown.text)
    assert "Come into Home" in page.text
    assert page.loaded == ["/setup/static/setup.css", "/invitation"]
    assert "script" not in page.tags
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
    assert (shown.headers["Referrer-Policy"], shown.headers["Cache-Control"]) == ("no-referrer", "no-store")
    wrong = httpx.post(server.url + "/invitation", data=typed(link, username="ana", name="Bob <b>"))
    assert wrong.status_code == 409
    assert "is taken" in wrong.text
    assert 'value="Bob &lt;b&gt;"' in wrong.text
    assert PASSWORD not in wrong.text
    done = httpx.post(server.url + "/invitation", data=typed(link))
    assert done.status_code == 200
    assert "set-cookie" not in done.headers
    bob = call(server.sign_in("bob"), "GET", "/user/me")
    assert bob["username"] == "bob"
    acts: Any = call(server.sign_in("ana"), "GET", "/organisation/audit", id=bob["organisation_id"])
    (came,) = [act for act in acts if act["act"] == "user created" and act["object"] == bob["id"]]
    assert (came["user_id"], came["address"]) == (bob["id"], "127.0.0.1")


def test_a_link_that_holds_no_more_says_so(server: Server, link: str) -> None:
    """On the page and in the API, whatever else is wrong with it."""
    ana = server.sign_in("ana")
    home = call(ana, "GET", "/user/me")["organisation_id"]
    made = ana.get("/organisation/invitations", params={"id": str(home)}).json()["response"][-1]
    call(ana, "DELETE", "/organisation/invitation", id=made["id"])
    for answer in (httpx.get(link), httpx.get(server.url + "/invitation"), httpx.post(server.url + "/invitation", data=typed(link))):
        assert answer.status_code == 410
        assert "does not hold" in answer.text
    answer = httpx.post(server.url + "/user/register", data={**typed(link), "invitation": link.partition("token=")[2], "username": "carla"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "gone")


def test_an_account_made_over_the_api_is_signed_in(server: Server, link: str) -> None:
    """As after /user/login, cookies included."""
    fields = {"invitation": link.partition("token=")[2], "username": "dora", "password": PASSWORD}
    answer = httpx.post(server.url + "/user/register", data=fields)
    assert answer.status_code == 200, answer.text
    assert re.search(r"crust_session=[^;]+; .*HttpOnly; .*SameSite=Lax", answer.headers["Set-Cookie"])
    session = answer.json()["response"]["session_id"]
    me = httpx.get(server.url + "/user/me", headers={"Authorization": f"Bearer {session}"})
    assert me.json()["response"]["username"] == "dora"


def test_a_bot_connects_with_its_token(server: Server) -> None:
    """Made beside the running server; revoked, it is cut off within five seconds."""
    assert server.run("user", "add", "helper", "--bot").returncode == 0
    done = server.run("token", "create", "helper", "--name", "build", "--json")
    assert done.returncode == 0, done.stderr
    token = json.loads(done.stdout)
    headers = {"Authorization": f"Bearer {token['token']}"}
    assert httpx.get(server.url + "/user/me", headers=headers).json()["response"]["kind"] == "bot"
    assert server.run("token", "revoke", token["id"]).returncode == 0
    seconds_until(lambda: httpx.get(server.url + "/user/me", headers=headers).status_code == 401, 5)
    assert "token revoked" in server.run("audit", "list").stdout
