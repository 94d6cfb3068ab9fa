"""How a command fails."""

from __future__ import annotations

import sys

from crust.broker.management import ManagementError
from crust.errors import CrustError
from crust.models.database import StartRefused
from crust.settings import SettingsError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def report(error: Exception | KeyboardInterrupt) -> int:
    """Say on standard error what was wrong; gives the exit status. A bug keeps its traceback."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if not isinstance(error, CrustError | SettingsError | StartRefused | ManagementError | OSError):
        raise error
    print(f"crust: {error}", file=sys.stderr)
    return 1
