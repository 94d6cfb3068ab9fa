"""What is measured: fan-out, latency, and how they hold when there is more of everything."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Raw

from crust.events.event import Event
from crust.torture.accounts import Account as Person
from crust.torture.accounts import accounts_of
from crust.ws.protocol import event_frame
from tests.benchmarks import brokered, floors, hosting, searching
from tests.benchmarks.client import Http, Websocket
from tests.benchmarks.load import Figures, Receiver, text, volley
from tests.benchmarks.people import call, channel_of, listening, opened, speakers
from tests.benchmarks.processes import Process, crust, crust_server, floor
from tests.benchmarks.sitting import Row, Sitting, median, ratio

SENDERS = 10
WARM_UP = 50
FULL = 0.9  # of the load generator's core, above which it, and not the server, may be the limit
RATE = 40  # messages a second, for sockets that never read
OUTSTANDING = 16  # messages of the floor's senders together that are not back yet
REQUESTS = 4000
MESSAGE: dict[str, object] = {
    "id": "1" * 17, "channel_id": "1" * 17, "user_id": "1" * 17, "type": "MESSAGE", "contents": "", "reply_to": None, "replies": 0,
    "attachments": [], "reactions": [], "mentions": [], "preview": None, "pinned": False, "client_msg_id": None, "origin": None,
    "version": 1, "created_at": "2026-11-24T01:47:00.123Z", "edited_at": None,
}  # fmt: skip


@contextmanager
def filled(users: int, *options: str) -> Iterator[tuple[Path, list[Person]]]:
    """A data folder with a demo in it, and its people."""
    with tempfile.TemporaryDirectory(prefix="crust-benchmark-") as name:
        folder = Path(name)
        crust("demo", "--users", str(users), "--sessions", str(folder / "sessions"), *options, folder=folder)
        yield folder, accounts_of(folder / "sessions")


@contextmanager
def filled_server(sitting: Sitting, users: int, *options: str) -> Iterator[tuple[Process, list[Person]]]:
    """A server over such a folder."""
    with filled(users, *options) as (folder, people), crust_server(folder, sitting.server) as process:
        yield process, people


# ---- floors


async def noop_floor(sitting: Sitting) -> float:
    """Requests a second of a Quart endpoint that does nothing, over sixteen connections."""
    with floor("noop", sitting.server) as process:
        requests = sitting.of(REQUESTS)
        connections = [await Http.open(process.port) for _ in range(16)]

        async def ask(http: Http) -> None:
            for _ in range(requests // len(connections)):
                await http.request("GET", "/noop")

        began = time.monotonic()
        await asyncio.gather(*map(ask, connections))
        return requests / (time.monotonic() - began)


async def websocket_floor(sitting: Sitting, receivers: int) -> float:
    """Deliveries a second of a bare ASGI websocket that sends the bytes of a Crust event to so many."""
    with floor("fan_out", sitting.server) as process:
        everybody = [Receiver() for _ in range(sitting.of(receivers))]
        sockets = [await Websocket.open(process.port, "/", {}, receiver) for receiver in everybody]
        waiting: dict[bytes, asyncio.Future[None]] = {}

        def back(frame: bytes) -> None:
            everybody[0](frame)
            at = frame.find(b"~#")
            if (future := waiting.pop(frame[at : at + 14], None)) is not None:
                future.set_result(None)

        async def send(contents: str) -> None:
            future = waiting[contents[:14].encode()] = asyncio.get_running_loop().create_future()
            sockets[0].send(frame_of(contents))
            await future

        sockets[0].on_text = back
        figures = await volley([send] * OUTSTANDING, everybody, sitting.of(max(150_000 // receivers, 100)))
        for socket in sockets:
            socket.drop()
        return sound(figures).delivered_s


def frame_of(contents: str) -> str:
    """The frame that Crust sends of a message."""
    body = Raw(msgspec.json.encode({**MESSAGE, "contents": contents}))
    return event_frame(
        Event(
            position=10_000,
            id=1,
            organisation=1,
            channel=10**17,
            recipient=0,
            object=1,
            visibility="public",
            type="message",
            event="created",
            body=body,
            origin=None,
            via=(),
            at=0,
        )
    )


def sound(figures: Figures) -> Figures:
    if not figures.sound:
        raise SystemExit(f"{figures.faults} messages were lost, doubled or out of order")
    return figures


# ---- fan-out


async def fan_out(sitting: Sitting) -> list[Row]:
    """Ten senders as fast as they are answered, to 10, 100 and 1,000 receivers."""
    noop: list[float] = []
    bare: dict[int, list[float]] = {100: [], 1000: []}
    ours: dict[tuple[int, bool], list[Figures]] = {(10, False): [], (100, False): [], (1000, False): [], (1000, True): []}
    with filled(sitting.of(1000), "--channels", "1", "--messages", "50") as (folder, people):
        for _ in range(sitting.rounds):
            noop.append(await noop_floor(sitting))
            for receivers, batch in ours:
                if receivers in bare and not batch:
                    bare[receivers].append(await websocket_floor(sitting, receivers))
                ours[receivers, batch].append(await crust_fan_out(sitting, folder, people, receivers, batch=batch))
    return [
        row_of(1, "10 receivers: messages/s", ours[10, False], noop, "no-op GET/s", 0.18),
        row_of(sitting.of(100), "100 receivers: deliveries/s", ours[100, False], bare[100], "bare websocket", 0.45),
        row_of(sitting.of(1000), "1,000 receivers: deliveries/s", ours[1000, False], bare[1000], "bare websocket", 0.85),
        row_of(sitting.of(1000), "1,000 receivers, joined frames", ours[1000, True], bare[1000], "bare websocket", 3.0),
        *(latencies(key, figures) for key, figures in ours.items()),
    ]


def row_of(deliveries: int, what: str, ours: list[Figures], floor_values: list[float], name: str, wanted: float) -> Row:
    value = median([figures.sent_s * deliveries for figures in ours])
    against = median(floor_values)
    least = "≥ " if median([figures.busy for figures in ours]) > FULL else ""
    return Row(what, f"{least}{value:,.0f}", f"{against:,.0f} ({name})", ratio(value, against), f"≥ {wanted}")


def latencies(key: tuple[int, bool], ours: list[Figures]) -> Row:
    ack, end = median([figures.ack[0] for figures in ours]), median([figures.end_to_end[0] for figures in ours])
    what = f"{key[0]:,} receivers{', joined' if key[1] else ''}: end to end p50, at saturation"
    return Row(what, f"{end:.1f} ms", f"{ack:.1f} ms (ack p50)", ratio(end, ack), "≤ 2")


async def crust_fan_out(sitting: Sitting, folder: Path, everybody: list[Person], receivers: int, *, batch: bool) -> Figures:
    messages = {10: 6000, 100: 4000}.get(receivers, 4000 if batch else 1500)
    people = everybody[: sitting.of(receivers)]
    with crust_server(folder, sitting.server) as process:
        channel = await channel_of(process.port, people)
        senders = await speakers(process.port, people[:SENDERS], channel)
        async with listening(process.port, people, batch=batch) as ears:
            await asyncio.sleep(1)
            await volley(senders, ears, sitting.of(WARM_UP))
            return sound(await volley(senders, ears, sitting.of(messages)))


# ---- latency, and what it depends on


async def pace(sitting: Sitting) -> list[Row]:
    """Twenty messages a second to ten receivers."""
    with filled_server(sitting, 20) as (process, people):
        channel = await channel_of(process.port, people[:10])
        senders = await speakers(process.port, people[:10], channel)
        async with listening(process.port, people[:10]) as receivers:
            await volley(senders, receivers, sitting.of(WARM_UP), rate=20)
            figures = [sound(await volley(senders, receivers, sitting.of(400), rate=20)) for _ in range(sitting.rounds)]
    p50, p99 = median([each.end_to_end[0] for each in figures]), median([each.end_to_end[1] for each in figures])
    return [
        Row("20 messages/s to 10: end to end p50", f"{p50:.1f} ms", wanted="≤ 8 ms"),
        Row("20 messages/s to 10: end to end p99", f"{p99:.1f} ms", wanted="≤ 30 ms"),
    ]


async def members(sitting: Sitting) -> list[Row]:
    """Ack time in a channel of 10,000 members beside one of 10."""
    with filled_server(sitting, sitting.of(10_000), "--channels", "1", "--messages", "10") as (process, people):
        large = (await called(process, people[0], "GET", "/channel/search?query=general"))[0]["id"]
        small = await channel_of(process.port, people[:10])
        few, many = await acks(sitting, process, people, small, large)
    return [Row("ack p50, 10,000 members", f"{many:.2f} ms", f"{few:.2f} ms (10 members)", ratio(many, few), "≤ 1.5")]


async def messages(sitting: Sitting) -> list[Row]:
    """Ack time and a page of history with a million messages stored, beside a thousand."""
    count, found = sitting.of(1_000_000), []
    for stored in (1000, count):
        with filled_server(sitting, 20, "--channels", "1", "--messages", str(stored)) as (process, people):
            channel = (await called(process, people[0], "GET", "/channel/search?query=general"))[0]["id"]
            (ack,) = await acks(sitting, process, people, channel)
            found.append((ack, await page_ms(process, people[0], channel)))
    (ack_few, page_few), (ack_many, page_many) = found
    return [
        Row(f"ack p50, {count:,} messages stored", f"{ack_many:.2f} ms", f"{ack_few:.2f} ms (1,000)", ratio(ack_many, ack_few), "≤ 1.5"),
        Row(f"history page of 50, {count:,} stored", f"{page_many:.2f} ms CPU", f"{page_few:.2f} ms (1,000)", "", "≤ 2 ms"),
    ]


async def acks(sitting: Sitting, process: Process, people: list[Person], *channels: str) -> list[float]:
    """The median ack time in each channel, one message at a time, the channels in turn."""
    senders = [(await speakers(process.port, people[:1], channel))[0] for channel in channels]
    times: list[list[float]] = [[] for _ in senders]
    for number in range(sitting.of(200) * sitting.rounds):
        for send, own in zip(senders, times, strict=True):
            began = time.perf_counter()
            await send(text(0, number, 0))
            own.append((time.perf_counter() - began) * 1000)
    return [median(own[len(own) // 4 :]) for own in times]


async def page_ms(process: Process, person: Person, channel: str) -> float:
    """CPU milliseconds of the server for one page of 50, all of the request included."""
    http = await Http.open(process.port)
    path = f"/message/read?channel_id={channel}&limit=50"
    for _ in range(50):
        await call(http, person, "GET", path)
    before = process.cpu_s()
    for _ in range(500):
        await call(http, person, "GET", path)
    return (process.cpu_s() - before) / 500 * 1000


async def called(process: Process, person: Person, method: str, path: str) -> list[dict[str, str]]:
    http = await Http.open(process.port)
    found: list[dict[str, str]] = await call(http, person, method, path)
    http.close()
    return found


async def connect(sitting: Sitting) -> list[Row]:
    """From the TCP connection to `ready`, for somebody in 300 channels of 20 members."""
    rows = []
    with filled_server(sitting, 60, "--channels", str(sitting.of(300)), "--messages", str(sitting.of(20_000))) as (process, people):
        times = []
        for _ in range(10 * sitting.rounds):
            began = time.perf_counter()
            socket = await opened(process.port, people[0], lambda _: None)
            times.append((time.perf_counter() - began) * 1000)
            socket.drop()
        rows.append(Row("fresh connect with 300 channels, p50", f"{median(times):.0f} ms", wanted="≤ 100 ms"))
        rows.append(Row("fresh connect with 300 channels, slowest", f"{max(times):.0f} ms", wanted="≤ 100 ms"))
    return rows


# ---- sockets in numbers


async def idle(sitting: Sitting) -> list[Row]:
    """Memory of a server with a thousand idle sockets."""
    with filled_server(sitting, sitting.of(1000), "--channels", "1", "--messages", "50") as (process, people):
        before = process.rss_mib()
        async with listening(process.port, people):
            await asyncio.sleep(5)
            after = process.rss_mib()
    return [
        Row("memory of a connection, 1,000 idle", f"{(after - before) * 1024 / 1000:.0f} KiB", wanted="≤ 60 KiB"),
        Row("memory in all, 1,000 idle", f"{after:.0f} MiB", f"{before:.0f} MiB (none)", wanted="≤ 150 MiB"),
    ]


async def storm(sitting: Sitting) -> list[Row]:
    """A thousand sockets are dropped at once, and come back with the position that they had."""
    with filled_server(sitting, sitting.of(1000), "--channels", "1", "--messages", "50") as (process, people):
        place = ""

        def hello(frame: bytes) -> None:
            nonlocal place
            if b'"type":"hello"' in frame:
                data = json.loads(frame)["data"]
                place = f"{data['epoch']}.{data['position']}"

        sockets = [await opened(process.port, person, hello) for person in people]
        for socket in sockets:
            socket.drop()
        resumed = 0

        def count(frame: bytes) -> None:
            nonlocal resumed
            resumed += b'"resumed":true' in frame

        began = time.perf_counter()
        sockets = await asyncio.gather(*(opened(process.port, person, count, place=place) for person in people))
        took = time.perf_counter() - began
        for socket in sockets:
            socket.drop()
    return [Row(f"1,000 dropped at once: {resumed} resumed within", f"{took:.1f} s", wanted="≤ 30 s")]


async def silent(sitting: Sitting) -> list[Row]:
    """Of a thousand sockets two hundred never read; the others must not notice."""
    with filled_server(sitting, sitting.of(800) + sitting.of(200), "--channels", "1", "--messages", "50") as (process, people):
        channel = await channel_of(process.port, people)
        senders = await speakers(process.port, people[:SENDERS], channel)
        async with listening(process.port, people[: -sitting.of(200)]) as receivers:
            await volley(senders, receivers, sitting.of(WARM_UP))
            before = sound(await volley(senders, receivers, sitting.of(800), rate=RATE))
            descriptors = process.descriptors()
            deaf = [await opened(process.port, person, lambda _: None) for person in people[-sitting.of(200) :]]
            for socket in deaf:
                socket.transport.pause_reading()
            watch = asyncio.create_task(gone(process, descriptors))
            after = sound(await volley(senders, receivers, sitting.of(60 * RATE), rate=RATE))
            took, growth = await watch if watch.done() else (None, 0.0)
            watch.cancel()
    return [
        Row("200 of 1,000 never read: all closed after", "never" if took is None else f"{took:.0f} s", wanted="≤ 60 s"),
        Row("200 of 1,000 never read: memory of each", f"{growth / 200:.2f} MiB", wanted="≤ 1.5 MiB"),
        Row(
            "the others' end to end p99 meanwhile",
            f"{after.end_to_end[1]:.0f} ms",
            f"{before.end_to_end[1]:.0f} ms (before)",
            ratio(after.end_to_end[1], before.end_to_end[1]),
            "≤ 1.5",
        ),
    ]


async def gone(process: Process, descriptors: int) -> tuple[float, float]:
    """Seconds until the server holds no more than so many descriptors, and by how many MiB it grew meanwhile."""
    began, rss = time.monotonic(), process.rss_mib()
    peak = rss
    while process.descriptors() > descriptors:
        await asyncio.sleep(0.5)
        peak = max(peak, process.rss_mib())
    return time.monotonic() - began, peak - rss


async def sqlite(_sitting: Sitting) -> list[Row]:
    """Plain SQLite, for what a group commit could store."""
    rows = []
    for group in (1, 10, 100):
        with tempfile.TemporaryDirectory() as folder:
            rate = floors.commits(Path(folder), group)
        rows.append(Row(f"plain SQLite, groups of {group}", f"{rate:,.0f} messages/s"))
    return rows


CASES: dict[str, Callable[[Sitting], Coroutine[None, None, list[Row]]]] = {
    "sqlite": sqlite, "fan_out": fan_out, "pace": pace, "members": members, "messages": messages, "search": searching.search,
    "connect": connect, "idle": idle, "storm": storm, "silent": silent, "rabbit": brokered.rabbit, "away": brokered.away,
    "nodes": brokered.nodes, "plugin": hosting.plugin, "enabled": hosting.enabled,
}  # fmt: skip
