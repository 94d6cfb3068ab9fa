"""What is delivered to whom, lanes that fail, and the documents of plugins.

Keys of several columns, and indexes of some rows alone, cannot be had as models. Nothing here is made in a change, so nothing here has an
id of the log's. Times are in milliseconds since 1970.
"""

from __future__ import annotations

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops

# `position` is that of the event; `claim` counts the attempts that were begun, `raised` those in a row at whose end a bug stood, `deaths`
# the processes that died of one. `state`: waiting, running, or how it ended: done, skipped, withdrawn, uncertain, parked, dropped.
DELIVERY = """
CREATE TABLE delivery (
    consumer {key} NOT NULL, lane {key} NOT NULL, position bigint NOT NULL,
    state text NOT NULL, owner text, claim bigint NOT NULL, attempts bigint NOT NULL, raised bigint NOT NULL, deaths bigint NOT NULL,
    next_at bigint NOT NULL, error text, receipt text, made_at bigint NOT NULL, ended_at bigint,
    PRIMARY KEY (consumer, lane, position)
){clustered}
"""
# A lane whose target does not answer: there is a row while that is so. `since` is when it began, `parked_at` when it was given up.
LANE = """
CREATE TABLE lane (
    consumer {key} NOT NULL, lane {key} NOT NULL, attempts bigint NOT NULL, next_at bigint NOT NULL, since bigint NOT NULL,
    parked_at bigint, error text,
    PRIMARY KEY (consumer, lane)
){clustered}
"""
DOCUMENT = """
CREATE TABLE document (
    instance {key} NOT NULL, collection {key} NOT NULL, key {key} NOT NULL, version bigint NOT NULL, body text NOT NULL, expires_at bigint,
    PRIMARY KEY (instance, collection, key)
){clustered}
"""
# What documents are found by. `value` is made so that its order is that of what it stands for.
DOCUMENT_FIELD = """
CREATE TABLE document_field (
    instance {key} NOT NULL, collection {key} NOT NULL, key {key} NOT NULL, field {key} NOT NULL, value {key} NOT NULL,
    PRIMARY KEY (instance, collection, key, field)
){clustered}
"""
STATEMENTS = (
    DELIVERY,
    "CREATE INDEX delivery_open ON delivery (consumer, lane, position) WHERE state IN ('waiting', 'running')",
    "CREATE INDEX delivery_parked ON delivery (consumer, position) WHERE state = 'parked'",
    "CREATE INDEX delivery_ended ON delivery (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX delivery_position ON delivery (position)",
    LANE,
    DOCUMENT,
    "CREATE INDEX document_expires ON document (expires_at) WHERE expires_at IS NOT NULL",
    DOCUMENT_FIELD,
    "CREATE INDEX document_found ON document_field (instance, collection, field, value, key)",
)


async def create(_apps: Any, editor: Any) -> None:
    """Make the tables. Texts are compared byte by byte on both databases, so that their order is the same."""
    sqlite = editor.DIALECT == "sqlite"
    key, clustered = ("text", " WITHOUT ROWID") if sqlite else ('text COLLATE "C"', "")
    for statement in STATEMENTS:
        await editor.client.execute_query(statement.format(key=key, clustered=clustered))


class Migration(migrations.Migration):
    dependencies = [("crust", "0009_channels_named")]

    initial = False

    operations = [ops.RunPython(create)]
