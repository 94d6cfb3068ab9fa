"""The figures of a trial as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.e2e.soak.trial import Trial


def table(trial: Trial) -> str:
    """How it stands, or how it ended."""
    return "\n".join(f"{name:24} {value}" for name, value in lines(trial))


def lines(trial: Trial) -> Iterator[tuple[str, str]]:
    ledger, samples = trial.ledger, trial.watch.samples
    yield "seconds", f"{samples[-1].at:.0f}" if samples else "0"
    yield "actions", f"{ledger.actions.total()} of {len(ledger.actions)} kinds"
    for way, statuses in sorted(ledger.statuses.items()):
        yield f"answers by {way}", counts(statuses)
    gone = sum(said.gone for said in ledger.said.values())
    yield "messages", f"{len(ledger.said)} acknowledged, {ledger.edits} edits, {gone} removed, {ledger.repeats} repeats"
    yield "sockets", f"{ledger.opened} opened, {ledger.resumes} resumed, {ledger.fresh} fresh"
    yield "closed by code", counts(ledger.closes)
    for each in trial.references:
        yield f"reference {each.habit}", f"{len(each.wire.positions)} events, {each.comings()}"
    yield from resources(trial)
    yield "faults", counts(Counter({kind: count for kind, count in ledger.faults.items() if count})) or "none"


def counts(found: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{key}: {count}" for key, count in sorted(found.items(), key=str))


def resources(trial: Trial) -> Iterator[tuple[str, str]]:
    samples = trial.watch.samples
    if not samples:
        return
    steps = [samples[round(part * (len(samples) - 1) / 10)].rss_mib for part in range(11)]
    yield "memory in tenths, MiB", " ".join(f"{step:.0f}" for step in steps)
    before, after, allowed = trial.watch.growth()
    yield "memory, 2nd and 4th quarter", f"{before:.1f}, {after:.1f} MiB; {before + allowed:.1f} allowed"
    yield (
        "descriptors",
        f"{trial.descriptors[0]} before, {max(sample.descriptors for sample in samples)} at most, {trial.descriptors[1]} after",
    )
    yield "threads, database", f"{samples[-1].threads}, {samples[-1].database_mib:.1f} MiB"
