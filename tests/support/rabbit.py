"""A RabbitMQ of the tests' own.

`python3 tests/support/rabbit.py FOLDER` runs one until SIGTERM, and writes its URL into FOLDER/url once it answers; it needs nothing but
the standard library, so that `.ci/run` can start one before anything is installed.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from crust.torture.rabbit import Management, RabbitServer

__all__ = ["Management", "RabbitServer"]


def main() -> None:
    """Run one below the folder that is given, until SIGTERM."""
    folder = Path(sys.argv[1])
    server = RabbitServer(folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.start()
        (folder / "starting").write_text(server.url)
        (folder / "starting").rename(folder / "url")
        signal.pause()
    finally:
        server.close()


if __name__ == "__main__":
    main()
