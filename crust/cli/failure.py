"""How a command fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from crust.errors import CrustError
from crust.models.database import StartRefused
from crust.settings import SettingsError


@contextmanager
def reported() -> Iterator[None]:
    """Say what was wrong on standard error and exit with status 1; a bug keeps its traceback."""
    try:
        yield
    except (CrustError, SettingsError, StartRefused, OSError) as error:
        print(f"crust: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
