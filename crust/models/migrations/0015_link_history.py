"""Where links were before: a bridge that was away deals with what was said then by what was true then."""

from __future__ import annotations

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops


async def add(_apps: Any, editor: Any) -> None:
    """A JSON list, oldest first: up to which position the link was of which channel, and whether anything went out over it."""
    await editor.client.execute_query("ALTER TABLE room_link ADD COLUMN former text NOT NULL DEFAULT '[]'")


class Migration(migrations.Migration):
    dependencies = [("crust", "0014_what_comes_in")]

    initial = False

    operations = [ops.RunPython(add)]
