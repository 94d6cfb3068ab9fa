"""Random traffic of every kind on one server, for as long as one likes, and a reckoning.

    python -m tests.e2e.soak --minutes 60 --seed 1
    python -m tests.e2e.soak --minutes 60 --rate 50 --database postgres://postgres@127.0.0.1:5432/empty_database

People post, edit, read, come and go, and send nonsense; their sockets break in every way. Reference clients must have been sent exactly
what the log holds for them, what was acknowledged must be stored once and as last changed, and the server's memory and descriptors must
not grow. The exit status is 1 when anything is not as it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.e2e.soak.report import table
from tests.e2e.soak.trial import Plan, Trial, run


def tell(trial: Trial) -> None:
    print(table(trial), end="\n\n", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=50, help="actions a second, over all people")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", default="sqlite", help="sqlite, or the URL of an empty PostgreSQL database")
    parser.add_argument("--every", type=float, default=60, help="seconds between two tables")
    arguments = parser.parse_args()
    plan = Plan(arguments.minutes * 60, arguments.rate, arguments.seed, arguments.database)
    with tempfile.TemporaryDirectory() as folder:
        trial = asyncio.run(run(Path(folder), plan, tell, arguments.every))
    tell(trial)
    for detail in trial.ledger.details:
        print(detail)
    if trial.ledger.faults.total():
        print(f"Not as it must be; the seed was {plan.seed}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
