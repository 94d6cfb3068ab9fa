"""`crust torture`: faults of every kind, under load, and a count of what was lost."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from crust.cli.common import Json, print_json, print_table
from crust.torture import brokers, report, trial
from crust.torture.faults import REGISTRY, chosen
from crust.torture.plan import Plan
from crust.torture.process import ProcessFailed
from crust.torture.stores import Away
from crust.torture.trial import Outcome


async def torture(
    *,
    seed: Annotated[int, Parameter(help="Of every decision; the same seed does the same faults in the same order.")] = 1,
    minutes: Annotated[float | None, Parameter(help="No further fault begins after these; 10, unless --repeats is given.")] = None,
    repeats: Annotated[
        int | None, Parameter(help="How often each fault is done, however long that takes.", validator=Number(gte=1))
    ] = None,
    faults: Annotated[str, Parameter(help="Only these, separated by commas.")] = "",
    list_: Annotated[bool, Parameter(name="--list", help="List the faults, and do none.", negative="")] = False,
    database_url: Annotated[str, Parameter(help="A PostgreSQL server, on which a database is made and dropped.")] = "",
    own_postgres: Annotated[bool, Parameter(help="Start a PostgreSQL, which is restarted too.", negative="")] = False,
    broker_url: Annotated[
        str, Parameter(help="A RabbitMQ of which all crust.v1.* and torture.* may go. Else one is started, if it is installed.")
    ] = "",
    nodes: Annotated[int, Parameter(help="How many, over PostgreSQL.", validator=Number(gte=1, lte=20))] = 2,
    rate: Annotated[float, Parameter(help="Messages a second.", validator=Number(gt=0))] = 30.0,
    listeners: Annotated[int, Parameter(help="Websockets that listen all the time.", validator=Number(gte=1))] = 8,
    crowd: Annotated[int, Parameter(help="Sockets, where a fault is about many.", validator=Number(gte=5))] = 1000,
    scale: Annotated[
        float, Parameter(help="How long faults last, as a share of their full length; some have a minimum.", validator=Number(gt=0, lte=10))
    ] = 1.0,
    folder: Annotated[str, Parameter(help="Keep logs and data in this folder, which is not there yet.")] = "",
    json: Json = False,
) -> None:
    """Do faults of every kind to servers under load, and count what was acknowledged, stored, lost, doubled and out of order.

    Everything is started for it and ended after it: servers, and, unless they are given, the database and RabbitMQ. Exit status 1 if
    anything that must be 0 is not, or if anything was not at the head 30 s after a fault (35 s where who had a lease was killed); and if
    nothing was done. Faults that the minutes did not suffice for are named, `not_reached` in the JSON, and count neither way.
    """
    if list_:
        rows = [{"fault": each.name, "needs": ", ".join(sorted(each.needs)), "does": each.about} for each in REGISTRY.values()]
        return print_json(rows) if json else print_table(rows, ["fault", "needs", "does"])
    broker = broker_url or ("rabbit" if brokers.installed() else "none")
    database = database_url or ("postgres" if own_postgres else "sqlite")
    plan = Plan(
        seed=seed, database=database, broker=broker, nodes=nodes, rate=rate, listeners=listeners, crowd=crowd, scale=scale, folder=folder
    )
    names = [name.strip() for name in faults.split(",") if name.strip()]
    within = 10.0 if minutes is None and repeats is None else minutes
    if not names and (left_out := sorted(REGISTRY.keys() - {each.name for each in chosen(plan, names)})):
        _tell(f"left out, because what they need is not there: {', '.join(left_out)}")
    outcomes: list[Outcome] = []
    try:
        with _terminable():
            async with aclosing(trial.run(plan, names, repeats=repeats, minutes=within, tell=_tell)) as running:
                async for outcome in running:
                    outcomes.append(outcome)
                    _tell_outcome(outcome)
    except (ProcessFailed, Away, LookupError) as error:
        sys.exit(f"crust: {error.args[0]}")
    reached = {outcome.fault for outcome in outcomes}
    not_reached = sorted(each.name for each in chosen(plan, names) if each.name not in reached)
    if not_reached:
        _tell(f"not reached: {', '.join(not_reached)}")
    if json:
        print_json(report.as_json(plan, outcomes, not_reached))
    else:
        print(f"{report.heading(plan)}\n\n{report.table(outcomes)}")
    sys.exit(0 if report.passed(outcomes) else 1)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the block as an interrupt does: what was started is ended first."""
    loop, task, came = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert task is not None

    def terminated() -> None:
        came.set()
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, terminated)
    try:
        yield
    except asyncio.CancelledError:
        if came.is_set():
            sys.exit(128 + signal.SIGTERM)
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _tell_outcome(outcome: Outcome) -> None:
    head = "never at the head" if outcome.head_s is None else f"at the head after {outcome.head_s:.1f} s"
    _tell(f"    {outcome.what}; {outcome.acknowledged} acknowledged, {outcome.stored} stored, {head}")
    for reason in report.reasons(outcome):
        _tell(f"    FAILED: {reason}")
