"""Accounts and sessions: who may sign in, and when that ends."""

from __future__ import annotations

import asyncio

import pytest

from crust.clock import ManualClock
from crust.errors import Conflict, Gone, Invalid, NotFound, RateLimited, Unauthenticated
from crust.events.control import SessionEnded
from crust.events.objects import User
from crust.models.tables import Session
from crust.runtime import Node, opened
from crust.services.accounts import Accounts
from crust.services.core import Core
from crust.services.limits import LoginThrottle
from crust.services.paging import Part
from crust.services.sessions import SignedIn
from crust.settings import Settings

pytestmark = pytest.mark.asyncio
PASSWORD = "correct horse"
DAY_S = 86_400


async def sign_in(
    node: Node, name: str = "ana", password: str = PASSWORD, client: str | None = "laptop", address: str = "127.0.0.1"
) -> SignedIn:
    return await node.core.sessions.sign_in(name, password, client, address, "test")


def another(node: Node) -> Accounts:
    """The accounts as another node over the same database has them."""
    throttle = LoginThrottle(node.settings.limits, node.clock)
    return Core(node.settings, node.clock, node.database, node.log, node.core.known, throttle, "another", node.broker.tell).accounts


async def first(accounts: Accounts, token: str | None, name: str = "ana", password: str = PASSWORD) -> User:
    """Follow a link that makes the first administrator."""
    return await accounts.create_first(str(token), name, name.title(), f"{name}@example.org", password)


async def test_the_first_administrator_owns_home_and_later_ones_are_its_admins(settings: Settings) -> None:
    """An empty server starts with one organisation; whoever is added belongs to it."""
    async with opened(settings) as node:
        for name, is_admin in (("ana", True), ("bob", True), ("cem", False)):
            await node.core.accounts.add(name, password=PASSWORD, is_admin=is_admin)
        roles = []
        for each in await node.core.accounts.all():
            (role,) = (await node.core.memberships(int(str(each["id"])))).organisations.values()
            roles.append(role)
    assert roles == ["owner", "admin", "member"]


async def test_names_and_addresses_clash_whatever_their_case(settings: Settings) -> None:
    """Nobody can be taken for somebody else by spelling; what is wrong is named."""
    async with opened(settings) as node:
        await node.core.accounts.add("Ana", password=PASSWORD, email="Ana@example.org")
        for name, email, error, field in (
            ("aNA", None, Conflict, "username"),
            ("bob", "ana@EXAMPLE.org", Conflict, "email"),
            ("b b", None, Invalid, "username"),
            ("bob", "nowhere", Invalid, "email"),
        ):
            with pytest.raises(error) as caught:
                await node.core.accounts.add(name, password=PASSWORD, email=email)
            assert caught.value.field == field
        with pytest.raises(Invalid):
            await node.core.accounts.add("bob", password="short")
        with pytest.raises(Invalid):
            await node.core.accounts.add("bob", password=PASSWORD, name="bob\u202e")


async def test_sign_in_by_name_or_address_and_one_answer_for_every_failure(settings: Settings) -> None:
    """A wrong password and an unknown user cannot be told apart."""
    async with opened(settings) as node:
        ana = await node.core.accounts.add("ana", password=PASSWORD, email="ana@example.org")
        for name in ("ana", "ANA", "ana@Example.org"):
            assert (await sign_in(node, name)).actor.user_id == int(ana.id)
        messages = set()
        for name, password in (("ana", "wrong"), ("nobody", PASSWORD), ("", "")):
            with pytest.raises(Unauthenticated) as caught:
                await sign_in(node, name, password)
            messages.add(caught.value.message)
        assert len(messages) == 1


async def test_a_session_is_bound_to_its_client_and_stored_as_a_hash(settings: Settings) -> None:
    """Another Client ID is refused; the secret is in no table."""
    async with opened(settings) as node:
        await node.core.accounts.add("ana", password=PASSWORD)
        signed_in = await sign_in(node)
        assert await node.core.sessions.authenticate(signed_in.secret, "laptop") == signed_in.actor
        assert await node.core.sessions.authenticate(signed_in.secret, None) == signed_in.actor
        for secret, client in ((signed_in.secret, "phone"), ("0" * 43, None)):
            with pytest.raises(Unauthenticated):
                await node.core.sessions.authenticate(secret, client)
        assert signed_in.secret not in str([dict(row) for row in await Session.all().values()])
        issued = await sign_in(node, client=None)
        assert len(issued.actor.client_id) >= 16


async def noted(node: Node) -> None:
    """Wait until what nobody waits for is written: changes are made in the order in which they were asked for."""
    await asyncio.sleep(0)
    async with node.log.change():
        pass


async def test_a_session_that_another_node_has_seen_is_not_idle(settings: Settings) -> None:
    """What a node knows of a session is asked again before it is refused."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        node.core.known.follows = True
        await node.core.accounts.add("ana", password=PASSWORD)
        session = await sign_in(node)
        await node.core.sessions.authenticate(session.secret, None)
        clock.advance(40 * DAY_S)
        async with node.log.change():  # as the other node writes it: without an event
            await node.database.execute("UPDATE session SET seen_at = $1", clock.now())
        assert (await node.core.sessions.authenticate(session.secret, None)).username == "ana"


async def test_sessions_expire_when_idle_and_in_the_end_anyway(settings: Settings) -> None:
    """30 days without a request end a session, and 180 days end it however busy it was."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        await node.core.accounts.add("ana", password=PASSWORD)
        idle, busy = await sign_in(node), await sign_in(node)
        for _ in range(8):
            clock.advance(20 * DAY_S)
            await node.core.sessions.authenticate(busy.secret, None)
            await noted(node)
        with pytest.raises(Unauthenticated):
            await node.core.sessions.authenticate(idle.secret, None)
        clock.advance(21 * DAY_S)
        with pytest.raises(Unauthenticated):
            await node.core.sessions.authenticate(busy.secret, None)


async def test_ending_sessions_is_told_to_all_nodes(settings: Settings) -> None:
    """One's own and only one's own; another password ends them all."""
    async with opened(settings) as node:
        await node.core.accounts.add("ana", password=PASSWORD)
        await node.core.accounts.add("bob", password=PASSWORD)
        told: list[object] = []
        node.broker.on_control(told.append)
        one, two, bobs = await sign_in(node), await sign_in(node), await sign_in(node, "bob")
        with pytest.raises(NotFound):
            await node.core.sessions.end(bobs.actor, one.actor.session_id)
        await node.core.sessions.end(two.actor, one.actor.session_id)
        assert [view.current for view in await node.core.sessions.all(two.actor, Part())] == [True]
        await node.core.profiles.set_password("ana", "another horse")
        assert told == [SessionEnded(one.actor.session_id), SessionEnded(two.actor.session_id)]
        with pytest.raises(Unauthenticated):
            await node.core.sessions.authenticate(two.secret, None)
        await sign_in(node, password="another horse")
        revoked = [event.recipient for event in await node.log.read(0, 10**6) if event.type == "session"]
        assert revoked == [one.actor.user_id] * 2


async def test_a_sign_in_that_a_new_password_overtakes_is_refused(settings: Settings) -> None:
    """No session is left that was made with the old password, however the two meet."""
    async with opened(settings) as node:
        await node.core.accounts.add("ana", password=PASSWORD)
        trying = [asyncio.create_task(sign_in(node, address=f"127.0.0.{number}")) for number in range(1, 9)]
        await asyncio.sleep(0)
        await node.core.profiles.set_password("ana", "another horse")
        results = await asyncio.gather(*trying, return_exceptions=True)
        for result in results:
            if isinstance(result, SignedIn):
                with pytest.raises(Unauthenticated):
                    await node.core.sessions.authenticate(result.secret, None)
        assert await Session.all().count() == 0


async def test_names_of_any_length_are_answered(settings: Settings) -> None:
    """A name that no column could hold is just wrong; an address of 200 characters can sign in."""
    address = "a" * 60 + "@" + "b" * 130 + ".org"
    async with opened(settings) as node:
        ana = await node.core.accounts.add("ana", password=PASSWORD, email=address)
        assert (await sign_in(node, address)).actor.user_id == int(ana.id)
        with pytest.raises(Unauthenticated):
            await sign_in(node, "x" * 5000)


async def test_guessing_is_throttled(settings: Settings) -> None:
    """After five failures the right password has to wait too."""
    async with opened(settings) as node:
        await node.core.accounts.add("ana", password=PASSWORD)
        for _ in range(5):
            with pytest.raises(Unauthenticated):
                await sign_in(node, password="wrong")
        with pytest.raises(RateLimited) as caught:
            await sign_in(node)
        assert caught.value.retry_after


async def test_a_setup_link_works_once_on_any_node_and_only_while_nobody_is_there(settings: Settings) -> None:
    """Each of two nodes takes the link that the other printed; a wrong token is not found; after the first account no link is good."""
    async with opened(settings) as node:
        nodes = node.core.accounts, another(node)
        tokens = [await accounts.new_setup_token() for accounts in nodes]
        for accounts, token in zip(nodes, reversed(tokens), strict=True):
            with pytest.raises(NotFound):
                await first(accounts, "x" * 43)
            with pytest.raises(Invalid):
                await first(accounts, token, password="short")
        await first(nodes[0], tokens[1])
        for accounts in nodes:
            for token in tokens:
                with pytest.raises(Gone):
                    await first(accounts, token, "eve")
            assert await accounts.new_setup_token() is None
        assert (await node.core.accounts.all())[0]["is_admin"] is True


async def test_of_two_setup_links_followed_at_once_one_makes_an_account(settings: Settings) -> None:
    """The other is told that the server has an administrator by now."""
    async with opened(settings) as node:
        nodes = node.core.accounts, another(node)
        tokens = [await accounts.new_setup_token() for accounts in nodes]
        following = (first(accounts, token, name) for accounts, token, name in zip(nodes, tokens, ("ana", "eve"), strict=True))
        results = await asyncio.gather(*following, return_exceptions=True)
        assert [type(result) for result in results].count(Gone) == 1, results
        assert len(await node.core.accounts.all()) == 1


async def test_a_setup_link_outlives_its_server_for_some_days(settings: Settings) -> None:
    """After a restart the link is as good as before, until it has expired; its secret is stored nowhere."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        early = await node.core.accounts.new_setup_token()
        clock.advance(DAY_S)
        late = await node.core.accounts.new_setup_token()
        assert not {early, late} & {
            str(value) for row in await node.database.fetch("SELECT * FROM invitation") for value in dict(row).values()
        }
    clock.advance((settings.organisations.invitation_days - 1) * DAY_S)
    async with opened(settings, clock) as node:
        with pytest.raises(NotFound):
            await first(node.core.accounts, early)
        await first(node.core.accounts, late)


async def test_an_account_made_otherwise_ends_setup_links(settings: Settings) -> None:
    """As by the command line; nor does a link lead into the organisation that there is then."""
    async with opened(settings) as node:
        token = str(await node.core.accounts.new_setup_token())
        await node.core.accounts.add("ana", password=PASSWORD)
        with pytest.raises(Gone):
            await first(node.core.accounts, token, "eve")
        with pytest.raises(Gone):
            await node.core.invitations.organisation(token)
