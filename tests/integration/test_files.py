"""Files over HTTP, on both servers: in, out, in part, slowly, and refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import pictures
from tests.support.server import Server, call, running
from tests.support.wire import connected, read_answer, request, rest

BODY_S, ANSWER_S = 1.0, 1.0
LIMITS = {
    "CRUST_LIMITS__ENABLED": "false",
    "CRUST_HTTP__BODY_S": str(BODY_S),
    "CRUST_HTTP__ANSWER_S": str(ANSWER_S),
    "CRUST_FILES__UPLOAD_BYTES": "20000000",
    "CRUST_FILES__UPLOAD_IDLE_S": "1.5",
}
BYTES = bytes(range(256)) * 1000


@pytest.fixture(scope="module", params=["hypercorn", "uvicorn"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Path(tmp_path_factory.mktemp("files")), {**LIMITS, "CRUST_SERVER": request.param}, "ana") as server:
        yield server


@pytest.fixture
def ana(server: Server) -> httpx.Client:
    return server.sign_in("ana")


@pytest.fixture
def channel(ana: httpx.Client) -> str:
    return str(call(ana, "POST", "/channel/edit", name="general", topic="")["id"])


def sent(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["response"]
    return found


def refused(answer: httpx.Response) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error.get("field")


def test_a_file_goes_in_and_out(ana: httpx.Client, channel: str) -> None:
    """As it is, and as a form, with the fields on either side of it; out with what a browser is to do with it."""
    raw = sent(ana.put("/message/attach", params={"channel_id": channel, "name": "ä.bin", "contents": "look"}, content=BYTES))
    body = b'--b\r\nContent-Disposition: form-data; name="upload"; filename="p.html"\r\n\r\n<p>\r\n'
    body += f'--b\r\nContent-Disposition: form-data; name="message_id"\r\n\r\n{raw["id"]}\r\n--b--\r\n'.encode()
    both = sent(ana.put("/message/attach", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}))
    assert (both["id"], both["contents"], [each["name"] for each in both["attachments"]]) == (raw["id"], "look", ["ä.bin", "p.html"])
    file, page = [ana.get("/file/read", params={"id": each["id"]}) for each in both["attachments"]]
    assert (file.content, page.content) == (BYTES, b"<p>")
    assert file.headers["Content-Length"] == str(len(BYTES))
    assert file.headers["Content-Disposition"] == "attachment; filename=\"_.bin\"; filename*=UTF-8''%C3%A4.bin"
    assert page.headers["Content-Disposition"] == 'attachment; filename="p.html"'
    assert page.headers["Content-Type"] == "text/plain; charset=utf-8"
    for answer in (file, page):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"].startswith("private")


def test_a_picture_goes_out_small(ana: httpx.Client, channel: str) -> None:
    """Where its attachment says; a size that is not taken is named, and of what is no picture there is no preview."""
    posted = sent(ana.put("/message/attach", data={"channel_id": channel}, files={"upload": ("a.png", pictures.picture(900, 600))}))
    (file,) = posted["attachments"]
    small = ana.get(file["preview"])
    assert (small.headers["Content-Type"], pictures.opened(small.content).size) == ("image/webp", (480, 320))
    assert small.headers["Content-Disposition"] == 'inline; filename="a.webp"'
    assert pictures.opened(ana.get(file["preview"], params={"id": file["id"], "size": 100}).content).size == (160, 107)
    assert refused(ana.get("/file/preview", params={"id": file["id"], "size": 5000})) == (422, "invalid", "size")
    text = sent(ana.put("/message/attach", params={"channel_id": channel, "name": "a.png"}, content=b"text"))["attachments"][0]
    assert refused(ana.get("/file/preview", params={"id": text["id"]})) == (404, "not_found", "id")


def test_a_part_of_a_file(ana: httpx.Client, channel: str) -> None:
    """One range; what lies behind the end; only if it is still the same; HEAD; and nothing if it is known already."""
    file = sent(ana.put("/message/attach", params={"channel_id": channel}, content=BYTES))["attachments"][0]

    def read(method: str = "GET", **headers: str) -> httpx.Response:
        return ana.request(method, "/file/read", params={"id": file["id"]}, headers={k.replace("_", "-"): v for k, v in headers.items()})

    whole, size = read(), len(BYTES)
    etag = whole.headers["ETag"]
    part = read(Range="bytes=10-19", If_Range=etag)
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, BYTES[10:20], f"bytes 10-19/{size}")
    assert read(Range="bytes=-300").content == BYTES[-300:]
    assert read(Range="bytes=100000-").content == BYTES[100_000:]
    assert (read(Range="bytes=10-19", If_Range='"other"').status_code, read(Range="bytes=0-1,4-5").status_code) == (200, 200)
    behind = read(Range=f"bytes={size}-")
    assert (refused(behind), behind.headers["Content-Range"]) == ((416, "invalid", "Range"), f"bytes */{size}")
    head = read("HEAD")
    assert (head.status_code, head.content, head.headers["Content-Length"], head.headers["ETag"]) == (200, b"", str(size), etag)
    known = read(If_None_Match=etag)
    assert (known.status_code, known.content) == (304, b"")
    assert read().content == BYTES, "the connection is still of use"


def test_the_same_key_is_the_same_file(ana: httpx.Client, channel: str) -> None:
    """Whether in a header or as `client_msg_id`."""
    for how in ({"headers": {"Idempotency-Key": f"k {channel}"}}, {"params": {"client_msg_id": f"c-{channel}"}}):
        where = {**how, "params": {**how.get("params", {}), "channel_id": channel, "name": "a"}}
        first, second = [sent(ana.put("/message/attach", content=b"once", **where)) for _ in range(2)]  # type: ignore[arg-type]  # keywords
        assert (second["id"], second["duplicate"], first.get("duplicate")) == (first["id"], True, None)
        again = ana.put("/message/attach", content=b"other", **where)  # type: ignore[arg-type]  # keywords
        assert refused(again)[:2] == (409, "idempotency_mismatch")


def test_what_is_refused_says_why(server: Server, ana: httpx.Client, channel: str) -> None:
    """Too large, said before or noticed as it comes; no file; no place; nobody. Nothing of any is kept."""
    files = server.folder / "data" / "files"
    before = sorted(files.rglob("*"))
    large = b"x" * 20_000_001

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(large), 1_000_000):
            yield large[start : start + 1_000_000]

    def put(**how: Any) -> tuple[int, str, str | None]:
        return refused(ana.put("/message/attach", **how))

    where = {"channel_id": channel}
    assert put(params=where, content=large) == (413, "too_large", "upload")
    assert put(params=where, content=pieces()) == (413, "too_large", "upload")
    assert put(data=where, files={"upload": ("a", large)}) == (413, "too_large", "upload")
    assert put(params=where, content=b"") == (422, "invalid", "upload")
    assert put(data=where, files={"other": ("a", b"a")}) == (422, "invalid", "upload")
    assert put(content=b"a") == (422, "invalid", "channel_id")
    assert put(params={"channel_id": "12x"}, content=b"a") == (422, "invalid", "channel_id")
    assert put(params={"channel_id": "5"}, content=b"a")[:2] == (404, "not_found")
    assert put(params=where, content=b"a", headers={"Content-Encoding": "gzip"})[:2] == (400, "bad_request")
    assert put(params=where, content=b"a", headers={"Content-Type": "multipart/form-data"})[:2] == (400, "bad_request")
    assert refused(httpx.put(f"{server.url}/message/attach", params=where, content=large[:3_000_000]))[:2] == (401, "unauthenticated")
    assert sorted(files.rglob("*")) == before
    sent(ana.put("/message/attach", params=where, content=large[1:]))


def test_a_slow_upload_that_moves_is_taken(server: Server, ana: httpx.Client, channel: str) -> None:
    """Longer than any small body may take; one that stands still is given up, and says so."""
    headers = {name: ana.headers[name] for name in ("X-Session-ID", "X-Client-ID")}
    path = f"/message/attach?channel_id={channel}"
    with connected(server) as moving, connected(server) as still:
        for connection in (moving, still):
            connection.sendall(request("PUT", path, {**headers, "Content-Length": "50000"}, b"x" * 5000))
        began = time.monotonic()
        for _ in range(9):
            time.sleep(BODY_S / 3)
            moving.sendall(b"x" * 5000)
        assert read_answer(moving).status == 200
        assert time.monotonic() - began > 2 * BODY_S
        answer = read_answer(still)
        assert (answer.status, answer.error["code"]) == (400, "bad_request")
        assert rest(still) == b""


def test_a_reader_that_takes_nothing_is_dropped(server: Server, ana: httpx.Client, channel: str) -> None:
    """A large file waits for no one; meanwhile, and afterwards, others get it."""
    file = sent(ana.put("/message/attach", params={"channel_id": channel}, content=b"x" * 15_000_000))["attachments"][0]
    headers = {name: ana.headers[name] for name in ("X-Session-ID", "X-Client-ID")}
    peers = [connected(server, receive_buffer=4096) for _ in range(20)]
    try:
        for peer in peers:
            peer.sendall(request("GET", f"/file/read?id={file['id']}", headers))
        assert len(ana.get("/file/read", params={"id": file["id"]}).content) == 15_000_000
        assert server.process is not None
        open_files = Path(f"/proc/{server.process.pid}/fd")
        deadline = time.monotonic() + 2 * ANSWER_S + 6
        while held := [each for each in open_files.iterdir() if "data/files" in str(each.readlink())]:
            assert time.monotonic() < deadline, held
            time.sleep(0.2)
    finally:
        for peer in peers:
            peer.close()


def test_uploads_have_a_limit_of_their_own(tmp_path: Path) -> None:
    """So many a minute, counted apart from messages and reads; who sends more is told when to come back."""
    server = Server(tmp_path, {"CRUST_LIMITS__UPLOADS_PER_MINUTE": "2"})
    server.add_user("ana")
    server.start()
    try:
        ana = server.sign_in("ana")
        where = {"channel_id": str(call(ana, "POST", "/channel/edit", name="general", topic="")["id"])}
        answers = [ana.put("/message/attach", params=where, content=b"a") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].headers["RateLimit-Limit"] == "2"
        assert 1 <= int(answers[2].headers["Retry-After"]) <= 30
        file = answers[0].json()["response"]["attachments"][0]["id"]
        assert [ana.get("/file/read", params={"id": file}).status_code for _ in range(5)] == [200] * 5
    finally:
        server.close()
