"""What authors of plugins write their tests with: a real core on SQLite, the real host, and people.

    import pytest
    from crust.testing import hosted
    from crust_hello import Hello

    @pytest.mark.asyncio
    async def test_it_answers() -> None:
        async with hosted(Hello, config={"greeting": "Hi"}) as host:
            ana = host.user("ana")
            await ana.says("#general", "hello")
            await host.settle()
            assert await host.said("#general") == ["ana: hello", "hello: Hi, ana!"]

There is nothing to register and no fixture to know: a block is all that there is, and it works under any runner of asynchronous tests. Time
stands still in it until `host.advance(minutes=5)`; a bug of the plugin is raised where the test comes upon it, with its own traceback.

hosting.py      the block, and what one can do in it; instances.py  what is to be at work in it
people.py       people, and what they do
noticing.py     what the plugin and its host say meanwhile, and what of it is a bug
crashing.py     an event handed to a handler twice, as after a crash
database.py     an empty server, migrated once
"""

from crust.testing.hosting import Host, NotSettled, hosted
from crust.testing.instances import Instance, PluginRefused, problems
from crust.testing.noticing import PluginFailed
from crust.testing.people import Person

__all__ = ["Host", "Instance", "NotSettled", "Person", "PluginFailed", "PluginRefused", "hosted", "problems"]
