"""People who are signed in, as `crust demo --sessions` writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """A line of the file."""

    user_id: str
    username: str
    session_id: str
    client_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Session-ID": self.session_id, "X-Client-ID": self.client_id}


def accounts_of(file: Path) -> list[Account]:
    """Everybody in the file."""
    return [Account(**json.loads(line)) for line in file.read_text().splitlines()]
