"""`crust doctor`: whether everything is as it must be, and what to do where it is not."""

from __future__ import annotations

import sys

from crust.cli.common import Config, Json, print_json
from crust.cli.progress import progress
from crust.operations.doctor import examine
from crust.operations.findings import Finding
from crust.telemetry import configure


async def doctor(*, json: Json = False, config: Config = None) -> None:
    """Look at the settings, the machine and the database, beside a running server or without. Exit status 1 where something is wrong."""
    configure("error", "auto")
    found: list[Finding] = []
    async for finding in examine(config, progress):
        progress.end()
        found.append(finding)
        if not json:
            print(f"{finding.state:5}  {finding.check}: {finding.found}" + (f"\n       {finding.fix}" if finding.fix else ""))
    progress.end()
    if json:
        print_json([finding._asdict() for finding in found])
    if any(finding.state == "wrong" for finding in found):
        sys.exit(1)
