"""How a command fails."""

from __future__ import annotations

import os
import select
import sys
from typing import TextIO

from crust.broker.management import ManagementError
from crust.cli.progress import progress
from crust.errors import CrustError
from crust.models.database import StartRefused
from crust.settings import SettingsError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
UNREAD = 141  # 128 + SIGPIPE


def report(error: Exception | KeyboardInterrupt) -> int:
    """Say on standard error what was wrong; gives the exit status. A bug keeps its traceback.

    That nobody reads the answer any more, as in `crust export - | head`, is nothing wrong: it is not said.
    """
    progress.end()
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError) and nobody_reads(sys.stdout):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python itself still writes at its end
        return UNREAD
    if not isinstance(error, CrustError | SettingsError | StartRefused | ManagementError | OSError):
        raise error
    print(f"crust: {error}", file=sys.stderr)
    return 1


def nobody_reads(out: TextIO) -> bool:
    """Whether it is a pipe whose other end is closed."""
    poll = select.poll()
    poll.register(out, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
