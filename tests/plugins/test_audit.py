"""audit: a line for each event, once, whatever happens to the process or the disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from crust_audit import Audit
from crust_audit.journal import Journal
from hypothesis import given
from hypothesis import strategies as st

from crust.settings import Settings
from crust.testing import Instance, hosted, problems


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def line(id_: str, day: str = "2026-11-26", size: int = 0) -> bytes:
    return json.dumps({"id": id_, "at": f"{day}T00:00:00.000Z", "x": "x" * size}).encode() + b"\n"


def journal(path: Path, size: int = 1_000_000, *, daily: bool = True, keep: int = 0) -> Journal:
    made = Journal(path, size, daily=daily, keep=keep)
    made.open()
    return made


@pytest.mark.asyncio
async def test_it_keeps_what_happens(settings: Settings, tmp_path: Path) -> None:
    """Everything that its bot may see, by ids alone, once; with contents where that is asked for; and only what is asked for."""
    plain, talk, few = (tmp_path / "logs" / f"{name}.jsonl" for name in ("plain", "talk", "few"))
    instances = (
        Instance(Audit, {"path": str(plain)}, name="plain"),
        Instance(Audit, {"path": str(talk), "contents": True, "fsync": "never"}, name="talk"),
        Instance(Audit, {"path": str(few), "events": ["member", "message removed"]}, name="few"),
    )
    async with hosted(*instances, settings=settings) as host:
        ana, ben, node = host.user("owner"), host.user("ben"), host.node
        made, once = await host.channel("#room"), host.assert_idempotent
        room = int(made.id)
        await once(ben.joins(made))
        said = await once(ben.says(made, "Quellwolke"))
        await once(ben.uploads(made, "Quellwolke.txt", b"x"))
        await once(node.core.channels.change(await ana.actor(), room, name="Quellwolke", topic="Quellwolke", type_=None))
        await once(ana.reacts(said, "👍"))
        await once(ana.removes(said))
        await ana.says(await host.channel("#private", type="private"), "hidden")
        await host.settle()
        ids = (await ben.id(), await ana.id())
        seen = {event.position: event for event in await node.log.read(0, 10**9, 1000) if event.channel == room}
    kept = [each for each in lines(plain) if each["channel_id"] == str(room)]
    positions = [each["position"] for each in kept]
    assert positions == sorted(set(positions)), "in a channel they stand in order, and once"
    names = [f"{each['type']} {each['event']}" for each in kept]
    assert {"channel created", "member joined", "message created", "channel edited", "reaction added", "message removed"} == set(names)
    assert [each["id"] for each in kept] == [str(seen[position].id) for position in positions]
    assert "Quellwolke" not in plain.read_text()
    [removed] = [each for each in kept if each["event"] == "removed"]
    assert removed["body"] == {"id": said.id, "channel_id": str(room), "user_id": ids[0], "by": ids[1]}
    assert "Quellwolke" in talk.read_text()
    assert "hidden" not in talk.read_text()
    assert {f"{each['type']} {each['event']}" for each in lines(few)} <= {"member joined", "message removed"}
    assert len(lines(few)) >= 2
    assert plain.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "config", [{}, {"path": ""}, {"path": "/"}, {"path": "a/"}, {"path": "a", "events": ["Member"]}, {"path": "a", "keep": -1}]
)
def test_a_configuration_that_cannot_be(config: dict[str, object]) -> None:
    """It is refused at start, by its place in the file."""
    assert problems(Audit, config)[0].startswith("plugins.audit.config.")


# ---- the file


@given(st.binary(max_size=60), st.integers(0, 80))
def test_whatever_was_left_behind(tmp_path_factory: pytest.TempPathFactory, junk: bytes, cut: int) -> None:
    """A line that was cut off anywhere goes and is written again; whole lines stay, and are not."""
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    whole = line("1")
    path.write_bytes(junk.replace(b"\n", b"") + b"\n" + whole + line("2")[:cut].rstrip(b"\n"))
    made = journal(path)
    for id_ in ("1", "2", "2", "3"):
        made.write(id_, "2026-11-26", line(id_))
    made.close()
    assert path.read_bytes().endswith(whole + line("2") + line("3"))
    assert path.read_bytes().count(whole) == 1


def test_new_files(tmp_path: Path) -> None:
    """By size and by day; names tell the day; no more than are kept; what was written before is known over a change of files."""
    path = tmp_path / "audit.jsonl"
    made = journal(path, 1000, keep=3)
    days = ["2026-11-25"] * 3 + ["2026-11-26"] * 2 + ["2026-11-25", "2026-11-27", "2026-11-27"]
    for number, day in enumerate(days):
        made.write(str(number), day, line(str(number), day, 400))
    older = ["audit-2026-11-25-0001", "audit-2026-11-25-0002", "audit-2026-11-26-0001", "audit-2026-11-26-0002"]
    assert sorted(each.stem for each in tmp_path.iterdir()) == ["audit", *older[1:]]
    assert [each["id"] for each in lines(path)] == ["6", "7"]
    made.close()
    made = journal(path, 1000, keep=3)
    made.write("5", "2026-11-25", line("5"))
    assert [each["id"] for each in lines(path)] == ["6", "7"]
    made.write("8", "2026-11-28", line("8"))
    assert [each["id"] for each in lines(path)] == ["8"]
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}


def test_one_writer(tmp_path: Path) -> None:
    """A second one is refused as long as the first has the file."""
    first = journal(tmp_path / "audit.jsonl")
    with pytest.raises(OSError, match="unavailable"):
        journal(tmp_path / "audit.jsonl")
    first.close()
    journal(tmp_path / "audit.jsonl").close()


def test_a_full_disk(tmp_path: Path) -> None:
    """The line that does not fit leaves nothing behind, and is written once there is space."""
    code = textwrap.dedent("""
        import resource, signal, sys
        from pathlib import Path
        from crust_audit.journal import Journal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        path = Path(sys.argv[1])
        made = Journal(path, 10**6, daily=True, keep=0)
        made.open()
        made.write("1", "2026-11-26", b'{"id":"1","at":"2026-11-26"}\\n')
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40, hard))
        for _ in range(2):
            try:
                made.write("2", "2026-11-26", b'{"id":"2","at":"2026-11-26"}\\n')
            except OSError as error:
                print(path.read_bytes().count(b"\\n"), path.stat().st_size)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        made.write("2", "2026-11-26", b'{"id":"2","at":"2026-11-26"}\\n')
        print(path.read_bytes().count(b"\\n"))
    """)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.jsonl")], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == ["1", "29", "1", "29", "2"]


def test_killed_while_it_writes(tmp_path: Path) -> None:
    """At any moment, over and over; each starts again a hundred lines before the first that was not acknowledged: every line once."""
    path, acknowledged = tmp_path / "audit.jsonl", 0
    code = textwrap.dedent("""
        import sys
        from pathlib import Path
        from crust_audit.journal import Journal
        made = Journal(Path(sys.argv[1]), 50_000, daily=True, keep=0)
        made.open()
        for number in range(int(sys.argv[2]), 10**9):
            made.write(str(number), "2026-11-26", b'{"id":"%d","at":"2026-11-26"}\\n' % number)
            print(number, flush=True)
    """)
    for _ in range(4):
        start = str(max(0, acknowledged - 100))
        with subprocess.Popen([sys.executable, "-c", code, str(path), start], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(3000):
                acknowledged = max(acknowledged, int(process.stdout.readline()))
            os.kill(process.pid, signal.SIGKILL)
    journal(path).close()
    found = [each["id"] for file in [*sorted(tmp_path.glob("audit-*")), path] for each in lines(file)]
    assert found == [str(number) for number in range(len(found))]
    assert len(found) > acknowledged
