"""Nobody learns who has an account by asking for it (ASVS 4.0.3: 2.2.1, 3.7)."""

from __future__ import annotations

import pytest

from crust.errors import CrustError, Unauthenticated
from crust.runtime import opened
from crust.services.paging import Part
from crust.settings import Settings
from tests.support.people import organisation, person

pytestmark = pytest.mark.asyncio


async def test_an_unknown_name_costs_as_much_hashing_as_a_wrong_password(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash is compared each time, at the cost that the settings have: for a wrong password, a stranger, a bot, and who is suspended."""
    async with opened(settings) as node:
        for name in ("ana", "eve"):
            await person(node, name)
        await node.core.accounts.add("robot", password=None, bot=True)
        await node.core.profiles.suspend("eve")
        compared: list[str] = []
        verify = node.core.passwords._verify

        def counted(stored: str, password: str) -> bool:
            compared.append(stored)
            return verify(stored, password)

        monkeypatch.setattr(node.core.passwords, "_verify", counted)
        for name in ("ana", "nobody", "robot", "eve", "nobody@example.org", "x" * 250):
            with pytest.raises(Unauthenticated):
                await node.core.sessions.sign_in(name, "wrong horse", None, "192.0.2.1", "")
        assert len(compared) == 6
        assert {stored.rpartition("$")[0].rpartition("$")[0] for stored in compared} == {compared[0].rpartition("$")[0].rpartition("$")[0]}


async def test_who_may_not_invite_learns_nothing_of_addresses(settings: Settings) -> None:
    """A member is refused in the same words, whether somebody has the address, or there is such a person, or not."""
    async with opened(settings) as node:
        root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
        place = await organisation(node, root, ana)
        said = set()
        for user_id, email in ((None, "bob@example.org"), (None, "nobody@example.org"), (bob.user_id, None), (4611686018427387904, None)):
            with pytest.raises(CrustError) as caught:
                await node.core.organisations.invite(ana, place, user_id=user_id, email=email, role="member")
            said.add(str(caught.value.as_dict()))
        assert len(said) == 1


async def test_the_directory_tells_of_nobody_by_address_or_from_elsewhere(settings: Settings) -> None:
    """It is searched by names alone, among those who share an organisation with one."""
    async with opened(settings) as node:
        root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
        home = int((await node.core.accounts.me(ana)).organisation_id or 0)
        await organisation(node, root, bob)
        await node.core.organisations.expel(bob, home, bob.user_id)
        for query in ("bob", "bob@example.org", "root@example.org", "@", "example"):
            assert await node.core.accounts.search(ana, query, Part(limit=50)) == [], query
        assert [each.username for each in await node.core.accounts.search(ana, "roo", Part(limit=50))] == ["root"]
