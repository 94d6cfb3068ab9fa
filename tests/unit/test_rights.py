"""`rights.may`: the table of the API's "Who may", cell by cell."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from crust.errors import CrustError, Forbidden, Gone
from crust.services.rights import (
    ORGANISATION_RULES,
    RULES,
    Membership,
    Standing,
    may,
    may_give_role,
    may_in_organisation,
    may_make_organisations,
    may_use_team,
    sees_teams,
)

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
        ("archive", "forbidden", "forbidden", OK, OK),
        ("remove", "forbidden", "forbidden", OK, OK),
        ("move", "forbidden", "forbidden", OK, OK),
        ("merge", "forbidden", "forbidden", OK, OK),
        ("share", "forbidden", "forbidden", OK, OK),
        ("mute", OK, OK, OK, "forbidden"),
        ("remove message", "forbidden", "forbidden", OK, OK),
        ("unpin", "forbidden", "forbidden", OK, OK),
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
    """Gone for whoever would change it, and only for whoever could otherwise; unarchiving and removing are left, of the channel alone."""
    standing = Standing("public", MEMBER, "owner", own=True)
    archived, frozen = replace(standing, archived=True), replace(standing, frozen=True)
    if answer(verb, standing) == OK:
        rule = RULES[verb]
        assert answer(verb, archived) == ("gone" if rule.changes and not rule.lasts else OK)
        assert answer(verb, frozen) == ("gone" if rule.changes else OK)
    assert {verb for verb, rule in RULES.items() if rule.lasts} == {"archive", "remove"}


def test_a_teams_public_channel_is_public_to_the_team() -> None:
    """Others of the organisation do not find it, admins aside, who look after it; who is in the channel stays."""
    assert answer("read", Standing("public", MEMBER, None, team=False)) == "not_found"
    assert answer("join", Standing("public", MEMBER, None, team=False)) == "not_found"
    assert answer("join", Standing("public", MEMBER, None, team=True)) == OK
    assert answer("post", Standing("public", MEMBER, None, team=True)) == "forbidden"
    assert answer("join", Standing("public", GUEST, None, team=True)) == "not_found"
    assert answer("archive", Standing("public", ADMIN, None, team=False)) == OK
    assert answer("post", Standing("public", MEMBER, "member", team=False)) == OK
    assert answer("read", Standing("private", ADMIN, None, team=True)) == "not_found"


# ---- organisations


def answer_in(verb: str, role: str | None, *, archived: bool = False) -> str:
    try:
        may_in_organisation(verb, Membership(role, archived))
    except CrustError as error:
        return error.code
    return OK


@pytest.mark.parametrize("verb", ORGANISATION_RULES)
def test_an_organisation_is_not_there_for_outsiders(verb: str) -> None:
    """Whatever the verb, and archived or not."""
    assert answer_in(verb, OUTSIDER) == answer_in(verb, OUTSIDER, archived=True) == "not_found"


@pytest.mark.parametrize(
    ("verb", "guest", "member", "admin", "owner", "archived"),
    [
        ("read", OK, OK, OK, OK, OK),
        ("leave", OK, OK, OK, OK, OK),
        ("rename", "forbidden", "forbidden", OK, OK, "gone"),
        ("invite", "forbidden", "forbidden", OK, OK, "gone"),
        ("invitations", "forbidden", "forbidden", OK, OK, OK),
        ("audit", "forbidden", "forbidden", OK, OK, OK),
        ("role", "forbidden", "forbidden", OK, OK, "gone"),
        ("expel", "forbidden", "forbidden", OK, OK, "gone"),
        ("archive", "forbidden", "forbidden", "forbidden", OK, OK),
        ("remove", "forbidden", "forbidden", "forbidden", OK, OK),
        ("make channels", "forbidden", OK, OK, OK, "gone"),
        ("make direct channels", OK, OK, OK, OK, "gone"),
        ("teams", "forbidden", "forbidden", OK, OK, "gone"),
    ],
)
def test_who_may_what_in_an_organisation(verb: str, guest: str, member: str, admin: str, owner: str, archived: str) -> None:
    """Role by role; the last is what its owner is told while it is archived."""
    assert [answer_in(verb, role) for role in (GUEST, MEMBER, ADMIN, "owner")] == [guest, member, admin, owner]
    assert answer_in(verb, "owner", archived=True) == archived


def test_every_rule_of_organisations_is_in_the_table_above() -> None:
    """So that none is added untried."""
    (marks,) = [mark for mark in test_who_may_what_in_an_organisation.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {row[0] for row in marks.args[1]} == ORGANISATION_RULES.keys()


def test_only_owners_make_and_unmake_owners() -> None:
    """Admins give all other roles."""
    for before, after in (("member", "owner"), ("owner", "member"), (None, "owner"), ("owner", None)):
        may_give_role("owner", before, after)
        with pytest.raises(Forbidden):
            may_give_role(ADMIN, before, after)
    may_give_role(ADMIN, GUEST, ADMIN)
    may_give_role(ADMIN, MEMBER, None)


def test_who_makes_organisations() -> None:
    """The server's administrators, and everybody where the settings say so."""
    may_make_organisations(is_admin=True, everybody=False)
    may_make_organisations(is_admin=False, everybody=True)
    with pytest.raises(Forbidden):
        may_make_organisations(is_admin=False, everybody=False)


def test_teams_are_there_for_members_and_channels_come_from_their_own() -> None:
    """Guests and outsiders see no team; who is in one, or an admin, gives it channels."""
    assert [sees_teams(Membership(role)) for role in (OUTSIDER, GUEST, MEMBER, ADMIN)] == [False, False, True, True]
    may_use_team(Membership(MEMBER), member=True)
    may_use_team(Membership(ADMIN), member=False)
    with pytest.raises(Forbidden):
        may_use_team(Membership(MEMBER), member=False)


def test_the_codes_are_what_the_errors_say() -> None:
    """Gone is told after Forbidden: who may not do it anyway learns nothing of the state."""
    assert answer("kick", Standing("public", MEMBER, "member", archived=True)) == "forbidden"
    assert answer_in("rename", MEMBER, archived=True) == "forbidden"
    assert Gone.status == 410
