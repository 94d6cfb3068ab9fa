"""`rights.may`: the table of the API's "Who may", cell by cell."""

from __future__ import annotations

import itertools

import pytest

from crust.errors import CrustError, Forbidden, Gone, NotFound
from crust.services.rights import RULES, Standing, may, may_create_channel

GUEST, MEMBER, ADMIN, OUTSIDER = "guest", "member", "admin", None
OK = "ok"


def answer(verb: str, standing: Standing) -> str:
    try:
        may(verb, standing)
    except CrustError as error:
        return error.code
    return OK


@pytest.mark.parametrize("verb", RULES)
def test_nothing_can_be_done_to_what_one_may_not_see(verb: str) -> None:
    """Outsiders, guests who were not let in, and everybody outside a private or direct channel: not found, whatever the verb."""
    for type_, role in [
        ("public", OUTSIDER),
        ("public", GUEST),
        *itertools.product(("private", "direct"), (GUEST, MEMBER, ADMIN, "owner", OUTSIDER)),
    ]:
        assert answer(verb, Standing(type_, role, None)) == "not_found"


@pytest.mark.parametrize(
    ("verb", "guest", "member", "owner", "admin_outside"),
    [
        ("read", OK, OK, OK, OK),
        ("post", OK, OK, OK, "forbidden"),
        ("pin", "forbidden", OK, OK, "forbidden"),
        ("mark", OK, OK, OK, "forbidden"),
        ("flag", OK, OK, OK, OK),
        ("change", "forbidden", OK, OK, "forbidden"),
        ("invite", "forbidden", OK, OK, "forbidden"),
        ("kick", "forbidden", "forbidden", OK, OK),
        ("remove message", "forbidden", "forbidden", OK, OK),
        ("unpin", "forbidden", "forbidden", OK, "forbidden"),
        ("edit message", "forbidden", "forbidden", "forbidden", "forbidden"),
    ],
)
def test_who_may_what_in_a_public_channel(verb: str, guest: str, member: str, owner: str, admin_outside: str) -> None:
    """A guest and a member who joined, the channel's owner, and an admin of the organisation who did not join; others' messages."""
    assert answer(verb, Standing("public", GUEST, "member")) == guest
    assert answer(verb, Standing("public", MEMBER, "member")) == member
    assert answer(verb, Standing("public", MEMBER, "owner")) == owner
    assert answer(verb, Standing("public", ADMIN, None)) == admin_outside


def test_one_edits_and_removes_ones_own() -> None:
    """The author may, as a member; who left may still take back what they said where they can see it."""
    assert answer("edit message", Standing("private", MEMBER, "member", own=True)) == OK
    assert answer("edit message", Standing("public", MEMBER, None, own=True)) == "forbidden"
    assert answer("remove message", Standing("public", MEMBER, None, own=True)) == OK


def test_an_admin_manages_private_channels_only_from_inside() -> None:
    """Of private channels they must be members; direct ones have no owner at all."""
    assert answer("kick", Standing("private", ADMIN, "member")) == OK
    assert answer("remove message", Standing("direct", ADMIN, "owner")) == "forbidden"
    assert answer("kick", Standing("direct", ADMIN, "owner")) == "forbidden"
    assert answer("part", Standing("direct", MEMBER, "member")) == "forbidden"
    assert answer("change", Standing("direct", MEMBER, "owner")) == "forbidden"


@pytest.mark.parametrize("verb", RULES)
def test_what_is_archived_is_read_but_not_changed(verb: str) -> None:
    """Gone for whoever would change it, and only for whoever could otherwise."""
    standing = Standing("public", MEMBER, "owner", own=True)
    archived = Standing("public", MEMBER, "owner", archived=True, own=True)
    if answer(verb, standing) == OK:
        assert answer(verb, archived) == ("gone" if RULES[verb].changes else OK)


def test_who_makes_channels() -> None:
    """Members make all kinds, guests direct ones, outsiders don't know the organisation."""
    may_create_channel(MEMBER, "private")
    may_create_channel(GUEST, "direct")
    with pytest.raises(Forbidden):
        may_create_channel(GUEST, "public")
    with pytest.raises(NotFound):
        may_create_channel(OUTSIDER, "public")


def test_the_codes_are_what_the_errors_say() -> None:
    """Gone is told after Forbidden: who may not do it anyway learns nothing of the state."""
    assert answer("kick", Standing("public", MEMBER, "member", archived=True)) == "forbidden"
    assert Gone.status == 410
