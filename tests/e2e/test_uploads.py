"""Large files on a server of its own: flat memory both ways, and nothing left of an upload that died."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server, call, running
from tests.support.wire import connected, request

SIZE = 104_857_600  # bytes: the largest file that is taken
PIECE = 65_536
MORE_MIB = 64  # that the process may take for it
BOUNDARY = "limit-XyZ"
ORPHAN_S = 2.0


def pieces() -> Iterator[bytes]:
    """A large file that does not compress, piece by piece, with line breaks and dashes in it, as a boundary has."""
    piece = os.urandom(PIECE // 2 - 8) + b"\r\n--limi" + os.urandom(PIECE // 2)
    for number in range(SIZE // PIECE):
        yield number.to_bytes(8, "big") + piece[8:]


class Peak:
    """The most memory that a process has had since this was made, beyond what it had then."""

    def __init__(self, server: Server) -> None:
        assert server.process is not None
        self._folder = Path(f"/proc/{server.process.pid}")
        (self._folder / "clear_refs").write_text("5")
        self._before = self._mib("VmRSS")

    @property
    def more_mib(self) -> float:
        return self._mib("VmHWM") - self._before

    def _mib(self, name: str) -> float:
        lines = dict(line.split(":", 1) for line in (self._folder / "status").read_text().splitlines())
        return int(lines[name].split()[0]) / 1024


@pytest.fixture(params=["hypercorn", "uvicorn"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server, with ana on it."""
    environment = {"CRUST_SERVER": request.param, "CRUST_FILES__ORPHAN_S": str(ORPHAN_S), "CRUST_FILES__SWEEP_S": "0.5"}
    with running(tmp_path, environment, "ana") as server:
        yield server


@pytest.mark.timeout(300)
def test_a_large_file_takes_little_memory(server: Server) -> None:
    """100 MB as it is, as a form, and back again: in each the process grows by less than 64 MiB."""
    ana = server.sign_in("ana")
    ana.timeout = httpx.Timeout(120)
    channel = call(ana, "POST", "/channel/edit", name="general", topic="")["id"]

    peak, sent = Peak(server), hashlib.sha256()

    def raw() -> Iterator[bytes]:
        for piece in pieces():
            sent.update(piece)
            yield piece

    answer = ana.put("/message/attach", params={"channel_id": str(channel), "name": "large.bin"}, content=raw())
    assert answer.status_code == 200, answer.text
    file = answer.json()["response"]["attachments"][0]
    assert (file["size"], file["media_type"]) == (SIZE, "application/octet-stream")
    grown = {"raw": peak.more_mib}

    def form() -> Iterator[bytes]:
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="channel_id"\r\n\r\n{channel}\r\n'.encode()
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="upload"; filename="large.bin"\r\n\r\n'.encode()
        yield from pieces()
        yield f"\r\n--{BOUNDARY}--\r\n".encode()

    peak = Peak(server)
    answer = ana.put("/message/attach", content=form(), headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["response"]["attachments"][0]["size"] == SIZE
    grown["form"] = peak.more_mib

    peak, received = Peak(server), hashlib.sha256()
    with ana.stream("GET", "/file/read", params={"id": file["id"]}) as response:
        for chunk in response.iter_bytes():
            received.update(chunk)
    assert received.digest() == sent.digest()
    grown["read"] = peak.more_mib
    print(grown)
    assert max(grown.values()) < MORE_MIB, grown


def files_in(server: Server) -> list[Path]:
    return [path for path in (server.folder / "data" / "files").rglob("*") if path.is_file()]


def until_no_files(server: Server, within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while found := files_in(server):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def headers_of(client: httpx.Client) -> dict[str, str]:
    return {name: client.headers[name] for name in ("X-Session-ID", "X-Client-ID")}


def test_an_upload_that_a_crash_cut_off_leaves_nothing(server: Server) -> None:
    """kill -9 in the middle: after the next start there is no message, and soon no file."""
    ana = server.sign_in("ana")
    channel = call(ana, "POST", "/channel/edit", name="general", topic="")["id"]
    with connected(server) as connection:
        path = f"/message/attach?channel_id={channel}&name=half.bin"
        connection.sendall(request("PUT", path, {**headers_of(ana), "Content-Length": "2000000"}, b"x" * 1_000_000))
        deadline = time.monotonic() + 5
        while sum(found.stat().st_size for found in files_in(server)) < 500_000:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        server.signal(signal.SIGKILL)
        assert server.process is not None
        server.process.wait(20)
    assert files_in(server), "the crash left something"
    server.start()
    messages = server.sign_in("ana").get("/message/read", params={"channel_id": str(channel)}).json()["response"]
    assert [message["type"] for message in messages] == ["CREATE"]
    until_no_files(server)


def test_an_upload_whose_sender_goes_leaves_nothing(server: Server) -> None:
    """Its connection ends in the middle: no message, and what had come is gone at once, not when the sweep finds it."""
    ana = server.sign_in("ana")
    channel = call(ana, "POST", "/channel/edit", name="general", topic="")["id"]
    with connected(server) as connection:
        path = f"/message/attach?channel_id={channel}"
        connection.sendall(request("PUT", path, {**headers_of(ana), "Content-Length": "2000000"}, b"x" * 1_000_000))
    until_no_files(server, ORPHAN_S * 0.9)
    assert len(call(ana, "GET", "/message/read", channel_id=channel)) == 1


def test_a_removed_message_takes_its_bytes_along(server: Server) -> None:
    """The file and its preview are on the disk while the message is there, and not when it is not."""
    ana = server.sign_in("ana")
    channel = call(ana, "POST", "/channel/edit", name="general", topic="")["id"]
    sent = ana.put("/message/attach", params={"channel_id": str(channel), "name": "a.bin"}, content=b"\0" * 1000).json()["response"]
    time.sleep(2 * ORPHAN_S)  # longer than what belongs to nobody is left alone
    assert [path.stat().st_size for path in files_in(server)] == [1000]
    call(ana, "DELETE", "/message/remove", id=sent["id"])
    assert not files_in(server)


@pytest.mark.parametrize("server", ["hypercorn"], indirect=True)  # uvicorn does so too, but logs what it cuts off as errors
def test_a_server_ends_in_time_with_an_upload_under_way(server: Server) -> None:
    """SIGTERM in the middle of one that stands still, and of a file that nobody reads: it exits within its 20 s, and leaves nothing."""
    ana = server.sign_in("ana")
    channel = call(ana, "POST", "/channel/edit", name="general", topic="")["id"]
    large = ana.put("/message/attach", params={"channel_id": str(channel)}, content=b"\0" * 20_000_000).json()["response"]["attachments"][0]
    path = f"/message/attach?channel_id={channel}"
    with connected(server) as sending, connected(server, receive_buffer=4096) as reading:
        sending.sendall(request("PUT", path, {**headers_of(ana), "Content-Length": "2000000"}, b"x" * 1_000_000))
        reading.sendall(request("GET", f"/file/read?id={large['id']}", headers_of(ana)))
        time.sleep(0.5)
        assert server.stop() == 0
    assert [file.stat().st_size for file in files_in(server)] == [20_000_000]
