"""Three nodes of RabbitMQ and quorum queues: one of them dies, and nobody who talks notices."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crust.broker import topology
from crust.torture.proxy import FaultProxy
from tests.support.outsider import outsider
from tests.support.rabbit import RabbitServer
from tests.support.talk import talking

pytestmark = [pytest.mark.asyncio, pytest.mark.rabbit, pytest.mark.timeout(150)]


@pytest.fixture
def cluster() -> Iterator[list[RabbitServer]]:
    """Three nodes that are one broker."""
    # Where root starts it, it runs as another account, which cannot look into pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="crust-cluster-"))
    folder.chmod(0o755)
    first = RabbitServer(folder / "1")
    servers = [first, *(RabbitServer(folder / str(number), beside=first) for number in (2, 3))]
    try:
        first.start()
        for server in servers[1:]:
            server.start(wait=False)
        for server in servers[1:]:
            server.wait()
            server.join()
        yield servers
    finally:
        for server in reversed(servers):
            server.close()
        folder.rmdir()


def leader_of_injects(server: RabbitServer) -> str:
    (queue,) = [each for each in server.management.call("GET", "queues") if each["name"] == topology.INJECT]
    assert (queue["type"], len(queue["members"])) == ("quorum", 3)
    return str(queue["leader"])


async def test_a_node_of_rabbitmq_dies_and_the_others_go_on(tmp_path: Path, cluster: list[RabbitServer]) -> None:
    """Behind a balancer, in the middle of talk, the leader of the durable queues: nobody loses anything, nor hears it twice."""
    first, second, third = cluster
    balancer = FaultProxy("127.0.0.1", first.port)
    await balancer.start()
    url = f"amqp://guest:guest@127.0.0.1:{balancer.port}/"
    async with talking(tmp_path, url, queue_type="quorum") as talk, outsider(second.url) as program:
        begin = await talk.at_the_head()
        assert leader_of_injects(second) == first.node
        program.messages.clear()
        saying = asyncio.create_task(talk.say(200))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(first.kill)
        balancer.target = third.port
        await saying
        head = await talk.at_the_head(30)
        await program.until(head - begin)
        assert sorted(set(program.positions)) == list(range(begin + 1, head + 1))
        assert await asyncio.to_thread(leader_of_injects, second) in (second.node, third.node)
    await balancer.close()
