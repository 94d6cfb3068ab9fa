"""Parameters: one parser and one schema a call, whatever the encoding.

`collect` gathers what a request bears (query, urlencoded form, multipart form, JSON) into one dictionary; `convert` makes the call's
struct of it, field by field, so that what is wrong is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from crust.errors import BadRequest, Invalid
from crust.ids import MAX_ID

T = TypeVar("T", bound=Struct)

Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
"""An id: taken as a number or as decimal digits."""

DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)
TRUE, FALSE = frozenset({"true", "1", "on", "yes"}), frozenset({"false", "0", "off", "no"})
SURROGATE = re.compile("[\ud800-\udfff]")
EXPECTED = {int: "a whole number, as digits", bool: "true or false", str: "text", list: "a list", float: "a number"}


# ---- gathering


def from_pairs(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Repeated names, and names that end with [], become lists."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        key = name.removesuffix("[]")
        if key not in found:
            found[key] = [value] if key != name else value
        elif isinstance(found[key], list):
            found[key].append(value)
        else:
            found[key] = [found[key], value]
    return found


def from_json(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BadRequest: it is none, or cannot be read.
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.")
    return value


# ---- converting


@lru_cache(maxsize=256)
def fields_of(struct: type[Struct]) -> tuple[tuple[msgspec.inspect.Field, Any, type], ...]:
    """A struct's fields with their annotated type and the plain type inside."""
    hints = get_type_hints(struct, include_extras=True)
    return tuple((field, hints[field.name], plain(hints[field.name])) for field in msgspec.inspect.type_info(struct).fields)  # type: ignore[attr-defined]  # a struct's info has fields


def plain(hint: Any) -> type:
    """The type of a value, without what is said about it and without None: int of `Annotated[Id | None, …]`."""
    origin = get_origin(hint)
    if origin is Annotated:
        return plain(get_args(hint)[0])
    if origin is list:
        return list
    inner = [each for each in get_args(hint) if each is not type(None)]
    if inner and isinstance(inner[0], str):
        return str  # a Literal of texts
    return plain(inner[0]) if inner else hint


def convert(struct: type[T], raw: Mapping[str, Any]) -> T:
    """The call's parameters.

    Raises:
        Invalid: a field is wrong or missing; it is named.
    """
    values = {}
    for field, hint, kind in fields_of(struct):
        value = raw.get(field.name)
        if value is None or (value == "" and kind is not str):
            if field.required:
                raise Invalid(f"{field.name} is required.", field=field.name)
            continue
        values[field.name] = one(field.name, value, hint, kind)
    return struct(**values)


def one(name: str, value: Any, hint: Any, kind: type) -> Any:
    """A single field's value."""
    value = loosened(name, value, kind)
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        reason = str(error).split(" - at ")[0].replace("`", "")
        raise Invalid(f"{name} must be {EXPECTED.get(kind, kind.__name__)}: {reason}.", field=name) from None


def loosened(name: str, value: Any, kind: type) -> Any:
    """What a form can only say as text, as the type that is meant; the schema then checks it strictly."""
    if kind is list:
        items = value if isinstance(value, list) else [value]
        return [int(item) if isinstance(item, str) and DIGITS.fullmatch(item) else item for item in items]
    if isinstance(value, str):
        if "\0" in value or SURROGATE.search(value):
            raise Invalid(f"{name} must not contain NUL or half characters.", field=name)
        if kind is int and DIGITS.fullmatch(value):
            return int(value)
        if kind is bool and value.lower() in TRUE | FALSE:
            return value.lower() in TRUE
    return value
