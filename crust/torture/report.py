"""The outcomes as a table, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crust.torture.ledger import WRONGS
from crust.torture.plan import Plan
from crust.torture.trial import Outcome

GROUPS = {
    "lost": ("lost", "not in the log", "never acknowledged", "refused"),
    "twice": ("stored twice", "from nowhere"),
    "disorder": ("out of order",),
    "sockets: lost": ("not received", "started afresh"),
    "twice ": ("received twice",),
    "disorder ": ("received out of order",),
    "deaf": ("served though deaf", "given up though reading"),
    "reader: lost": ("missed by the reader", "never came by RabbitMQ"),
    "twice  ": ("taken twice",),
    "disorder  ": ("taken out of order",),
    "lease: kept": ("not taken over",),
    "plugin: lost": ("not handled", "innocents parked"),
    "not parked": ("poison not parked",),
    "not once": ("effects not once", "acted too often"),
    "disorder   ": ("handled out of order",),
}
"""The columns, and what is counted in each; a name that occurs again bears a space."""

assert sorted(WRONGS) == sorted(kind for kinds in GROUPS.values() for kind in kinds)


def heading(plan: Plan) -> str:
    """What the table is of."""
    return (
        f"seed {plan.seed}, {plan.node_count} node(s), {plan.database_kind}, broker {plan.broker_kind}, {plan.rate:g} messages/s"
        f" by {plan.http_authors} over HTTP and {plan.socket_authors} over websockets, {plan.listeners} listening; scale {plan.scale:g}"
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """One line a fault."""
    names = ["fault", "repeats", "acknowledged", "sent again", "stored", *GROUPS, "healed", "at the head", ""]
    lines = [[name.strip() for name in names], *([*_cells(of_one)] for of_one in _by_fault(outcomes))]
    widths = [max(len(line[at]) for line in lines) for at in range(len(names))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def _by_fault(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.fault, []).append(outcome)
    return list(found.values())


def _cells(outcomes: Sequence[Outcome]) -> list[str]:
    counted = [sum(outcome.wrongs.counts[kind] for outcome in outcomes for kind in kinds) for kinds in GROUPS.values()]
    heads = [outcome.head_s for outcome in outcomes]
    slowest = max((head for head in heads if head is not None), default=0.0)
    return [
        outcomes[0].fault,
        str(len(outcomes)),
        str(sum(outcome.acknowledged for outcome in outcomes)),
        str(sum(outcome.retries for outcome in outcomes)),
        str(sum(outcome.stored for outcome in outcomes)),
        *map(str, counted),
        str(sum(outcome.healed for outcome in outcomes)),
        "never" if None in heads else f"{slowest:.1f} s",
        "" if all(outcome.passed for outcome in outcomes) else "FAILED",
    ]


def reasons(outcome: Outcome) -> list[str]:
    """Why an outcome is not as it must be, in words."""
    found = list(outcome.wrongs.details)
    if outcome.broken:
        found.append(f"the trial broke: {outcome.broken}")
    elif outcome.head_s is None:
        found.append(f"not at the head: {', '.join(outcome.late[:5])}")
    elif outcome.head_s > outcome.within_s:
        found.append(f"at the head after {outcome.head_s:.1f} s, not within {outcome.within_s:g}")
    if not outcome.acknowledged:
        found.append("nothing was acknowledged, so nothing was tried")
    return [] if outcome.passed else found


def passed(outcomes: Sequence[Outcome]) -> bool:
    """Whether something was done, and all of that is as it must be. What was not reached counts neither way."""
    return bool(outcomes) and all(outcome.passed for outcome in outcomes)


def as_json(plan: Plan, outcomes: Sequence[Outcome], not_reached: Sequence[str]) -> dict[str, Any]:
    """All of it. `passed` is about what was done; `not_reached` names the faults that were wanted and never begun."""
    return {
        "seed": plan.seed,
        "not_reached": not_reached,
        "passed": passed(outcomes),
        "outcomes": [
            {
                "fault": outcome.fault,
                "repeat": outcome.repeat,
                "what": outcome.what,
                "acknowledged": outcome.acknowledged,
                "stored": outcome.stored,
                **{kind.replace(" ", "_"): count for kind, count in outcome.wrongs.counts.items()},
                "retries": outcome.retries,
                "repeats": outcome.repeats,
                "resumes": outcome.resumes,
                "healed": outcome.healed,
                "at_head_s": None if outcome.head_s is None else round(outcome.head_s, 2),
                "passed": outcome.passed,
                "reasons": reasons(outcome),
            }
            for outcome in outcomes
        ],
    }
