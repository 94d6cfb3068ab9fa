"""The registry of faults. One more is a function like these, in this module or in another that `ALL` names.

    @fault("kill-node")
    async def kill_node(stage: Stage) -> str:
        \"\"\"kill -9 of a node, which is started again at once\"\"\"
        node = stage.chance.choice(stage.nodes)
        await node.restart()
        return node.name

It does the fault, and returns once it is over, saying what was done. People talk and listen meanwhile, and for as long before and after as
it takes. What must hold then is the same for all of them: see `crust.torture.ledger`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crust.log.leases import TAKEN_AFTER_S
from crust.torture.plan import Plan
from crust.torture.stage import Stage

HEAD_S = 30.0
TAKEN_S = TAKEN_AFTER_S + 5.0  # where whoever had the relay's lease may be dead: it is another's 30 s after the last heartbeat

Need = Literal["broker", "own broker", "sqlite", "postgres", "own postgres", "several nodes", "libfaketime"]
Deed = Callable[[Stage], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One of the registry.

    Args:
        name: by which it is chosen.
        about: what it does, in a line.
        do: does it.
        needs: what has to be there.
        keeps: whether RabbitMQ is left with all that it has confirmed, so that each event has to come by it.
        within_s: seconds after its end within which everything has to be at the head.
    """

    name: str
    about: str
    do: Deed
    needs: frozenset[Need]
    keeps: bool
    within_s: float


REGISTRY: dict[str, Fault] = {}


def fault(name: str, *needs: Need, keeps: bool = True, within_s: float = HEAD_S) -> Callable[[Deed], Deed]:
    """Put a function into the registry; its docstring says what it does."""

    def register(deed: Deed) -> Deed:
        assert name not in REGISTRY, name
        about = (deed.__doc__ or "").partition("\n")[0].rstrip(".")
        REGISTRY[name] = Fault(name, about, deed, frozenset(needs), keeps, within_s)
        return deed

    return register


def there(plan: Plan) -> set[Need]:
    """What a trial has of what faults need."""
    found: set[Need] = {"sqlite" if plan.database == "sqlite" else "postgres"}
    if plan.database == "postgres":
        found.add("own postgres")
    if plan.broker != "none":
        found.add("broker")
    if plan.broker == "rabbit":
        found.add("own broker")
    if plan.node_count > 1:
        found.add("several nodes")
    if faketime() is not None:
        found.add("libfaketime")
    return found


def faketime() -> Path | None:
    """libfaketime, if it is installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def chosen(plan: Plan, names: Sequence[str]) -> list[Fault]:
    """The faults of these names; of all names those for which everything is there, where none is given.

    Raises:
        LookupError: there is no such fault, or what it needs is not there.
    """
    has = there(plan)
    if not names:
        return [each for each in REGISTRY.values() if not each.needs - has]
    for name in names:
        if name not in REGISTRY:
            raise LookupError(f"there is no fault {name}: crust torture --list shows all")
        if missing := REGISTRY[name].needs - has:
            raise LookupError(f"{name} needs {' and '.join(sorted(missing))}")
    return [REGISTRY[name] for name in dict.fromkeys(names)]
