"""The index of what was said: one row a message, with the terms of its text and labels of everything else that it is found by.

On SQLite it is an FTS5 table, which gives rows newest first without sorting and whose lists can be skipped through; on PostgreSQL a table
of a tsvector and an array of labels below one GIN index. The terms are made by `crust.words` for both. Nothing that a person wrote reaches
either's own query syntax: a term is letters, digits and marks, and is quoted all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from crust.models.database import Write
from crust.words import Phrase, terms

TYPES = ("MESSAGE", "FILE", "CREATE", "TOPIC", "RENAME")
PINNED, WITH_FILE, WITH_MEDIA = "p", "hfile", "hmedia"
MEDIA = ("image/", "audio/", "video/")

SQLITE_TABLE = "CREATE VIRTUAL TABLE message_search USING fts5(words, labels, tokenize = 'ascii', columnsize = 0)"
POSTGRES_TABLES = (
    "CREATE TABLE message_search (id bigint PRIMARY KEY, words tsvector NOT NULL, labels text[] NOT NULL)",
    "CREATE INDEX message_search_found ON message_search USING gin (words, labels)",
)


def in_channel(channel_id: int) -> str:
    """The label of a channel's messages."""
    return f"c{channel_id}"


def by_user(user_id: int) -> str:
    """The label of a person's messages."""
    return f"u{user_id}"


def flagged_by(user_id: int) -> str:
    """The label of messages that a person has flagged."""
    return f"f{user_id}"


def of_type(type_: str) -> str:
    """The label of messages of a type."""
    return f"t{type_.lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A message as it is found. `text`: its contents, and the names of what is attached; `flagged`: by whom."""

    id: int
    channel_id: int
    user_id: int
    type: str
    text: str
    pinned: bool = False
    flagged: Sequence[int] = ()
    media_types: Sequence[str] = ()

    @property
    def labels(self) -> list[str]:
        found = [in_channel(self.channel_id), by_user(self.user_id), of_type(self.type), *map(flagged_by, self.flagged)]
        found += [PINNED] * self.pinned + [WITH_FILE] * (self.type == "FILE" or bool(self.media_types))
        return found + [WITH_MEDIA] * any(media.startswith(MEDIA) for media in self.media_types)


@dataclass(frozen=True, slots=True)
class Match:
    """What is looked for: all of the wanted phrases, none of the unwanted; of each of the `labels` one, of `without` none."""

    wanted: tuple[Phrase, ...] = ()
    unwanted: tuple[Phrase, ...] = ()
    labels: tuple[frozenset[str], ...] = ()
    without: frozenset[str] = frozenset()

    def also(self, *labels: str) -> Match:
        """The same, and one of these labels."""
        return replace(self, labels=(*self.labels, frozenset(labels)))


class SearchIndex:
    """Everything that is said to either kind of index.

    Args:
        dialect: `sqlite` or `postgres`.
    """

    def __init__(self, dialect: str) -> None:
        self._sqlite = dialect == "sqlite"

    @property
    def creation(self) -> tuple[str, ...]:
        """The statements that make it."""
        return (SQLITE_TABLE,) if self._sqlite else POSTGRES_TABLES

    # ---- writing

    def adding(self, documents: Sequence[Document]) -> Write:
        """The insertion of new messages."""
        if self._sqlite:
            rows = [(each.id, " ".join(terms(each.text)), spaced(each.labels)) for each in documents]
            return Write("INSERT INTO message_search (rowid, words, labels) VALUES ($1, $2, $3)", rows)
        into, typed = "INSERT INTO message_search (id, words, labels)", "id, words::tsvector, string_to_array(labels, ' ')"
        values = [(each.id, vector(terms(each.text)), " ".join(each.labels)) for each in documents]
        return Write(
            f"{into} SELECT {typed} FROM (SELECT $1::bigint, $2::text, $3::text) one (id, words, labels)",
            values,
            f"{into} SELECT {typed} FROM unnest($1::bigint[], $2::text[], $3::text[]) many (id, words, labels)",
        )

    def replacing(self, message_id: int, text: str) -> Write:
        """Another text of a message."""
        if self._sqlite:
            return Write("UPDATE message_search SET words = $1 WHERE rowid = $2", [(" ".join(terms(text)), message_id)])
        return Write("UPDATE message_search SET words = $1::text::tsvector WHERE id = $2", [(vector(terms(text)), message_id)])

    def removing(self, message_id: int) -> Write:
        """The removal of a message."""
        return Write(f"DELETE FROM message_search WHERE {self._key} = $1", [(message_id,)])

    def labelling(self, message_id: int, label: str, *, on: bool) -> Write:
        """A label put on a message, which does not bear it, or taken from it."""
        if self._sqlite:
            changed = "labels || $1 || ' '" if on else "replace(labels, ' ' || $1 || ' ', ' ')"
        else:
            changed = f"array_{'append' if on else 'remove'}(labels, $1::text)"
        return Write(f"UPDATE message_search SET labels = {changed} WHERE {self._key} = $2", [(label, message_id)])

    def rehoming(self, source: int, destination: int) -> Write:
        """All messages of one channel in another one."""
        old, new = in_channel(source), in_channel(destination)
        if self._sqlite:
            sql = (
                "UPDATE message_search SET labels = replace(labels, ' ' || $1 || ' ', ' ' || $2 || ' ') WHERE rowid IN "
                "(SELECT rowid FROM message_search WHERE message_search MATCH 'labels : ' || $1)"
            )
        else:
            sql = "UPDATE message_search SET labels = array_replace(labels, $1::text, $2::text) WHERE labels @> ARRAY[$1::text]"
        return Write(sql, [(old, new)])

    @property
    def _key(self) -> str:
        return "rowid" if self._sqlite else "id"

    # ---- looking at it

    @property
    def entries(self) -> str:
        """A statement that gives what is held of the messages with ids in ($1, $2]: `id`, and `words` and `labels` with spaces between."""
        if self._sqlite:
            return "SELECT rowid AS id, words, labels FROM message_search WHERE rowid > $1 AND rowid <= $2"
        words = "array_to_string(tsvector_to_array(words), ' ')"
        return f"SELECT id, {words} AS words, array_to_string(labels, ' ') AS labels FROM message_search WHERE id > $1 AND id <= $2"

    # ---- finding

    def finding(self, match: Match, after: int, before: int, limit: int) -> tuple[str, list[Any]]:
        """A statement, and its values, that gives the ids in (after, before) of the newest `limit` that match, newest first."""
        if self._sqlite:
            sql = (
                "SELECT rowid AS id FROM message_search WHERE message_search MATCH $1 AND rowid > $2 AND rowid < $3 "
                "ORDER BY rowid DESC LIMIT $4"
            )
            return sql, [fts5(match), after, before, limit]
        values: list[Any] = [after, before, limit]
        conditions = ["id > $1", "id < $2"]
        for condition, value in postgres_conditions(match):
            values.append(value)
            conditions.append(condition.format(f"${len(values)}"))
        return f"SELECT id FROM message_search WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT $3", values


def spaced(labels: Sequence[str]) -> str:
    """Labels with a space on either side of each, so that one can be replaced."""
    return f" {' '.join(labels)} "


# ---- SQLite's query language


def fts5(match: Match) -> str:
    """A match as FTS5 takes it."""
    wanted = [f"words : {quoted(phrase)}" for phrase in match.wanted]
    wanted += [one_of(labels) for labels in match.labels]
    unwanted = [f"words : {quoted(phrase)}" for phrase in match.unwanted] + ([one_of(match.without)] if match.without else [])
    positive = " AND ".join(f"({each})" for each in wanted or [one_of(map(of_type, TYPES))])
    return f"({positive}) NOT ({' OR '.join(f'({each})' for each in unwanted)})" if unwanted else positive


def quoted(phrase: Phrase) -> str:
    terms = " ".join(phrase.terms).replace('"', '""')
    return f'"{terms}"{" *" if phrase.prefix else ""}'


def one_of(labels: Any) -> str:
    return f"labels : ({' OR '.join(sorted(labels))})"


# ---- PostgreSQL's


def postgres_conditions(match: Match) -> list[tuple[str, Any]]:
    """Conditions, each with its value, for whose parameter it has a place."""
    text = " & ".join([followed(phrase) for phrase in match.wanted] + [f"!{followed(phrase)}" for phrase in match.unwanted])
    found: list[tuple[str, Any]] = [("words @@ {}::text::tsquery", text)] if text else []
    found += [("labels && {}::text[]", sorted(labels)) for labels in match.labels]
    return found + ([("NOT labels && {}::text[]", sorted(match.without))] if match.without else [])


def followed(phrase: Phrase) -> str:
    """A phrase as a tsquery."""
    last = lexeme(phrase.terms[-1]) + (":*" if phrase.prefix else "")
    return f"({' <-> '.join([*map(lexeme, phrase.terms[:-1]), last])})"


def vector(terms: Sequence[str]) -> str:
    """Terms as a tsvector, with their places."""
    places: dict[str, list[int]] = {}
    for place, term in enumerate(terms, 1):
        places.setdefault(term, []).append(place)
    return " ".join(f"{lexeme(term)}:{','.join(map(str, at[:255]))}" for term, at in places.items())


def lexeme(term: str) -> str:
    doubled = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"
