"""Parameters: one parser and one schema a call, whatever the encoding.

`collect` gathers what a request bears (query, urlencoded form, multipart form, JSON) into one dictionary; `convert` makes the call's
struct of it, field by field, so that what is wrong is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct
from msgspec import inspect as schema
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder

from crust import strict_json
from crust.errors import BadRequest, Invalid
from crust.ids import MAX_ID
from crust.strict_json import BAD_TEXT, WHY_BAD, BadJson

T = TypeVar("T", bound=Struct)
Reader = Callable[[Any], Any]

FIELDS_MAX = 1000  # in one form or query: above what any call takes, below what costs time to look at


class Types(StrEnum):
    """The types of body that every call takes."""

    JSON = "application/json"
    FORM = "application/x-www-form-urlencoded"
    MULTIPART = "multipart/form-data"


ID = {"title": "Id", "description": "Taken as a number or as decimal digits; always given as a string, since it passes 2^53."}
Id = Annotated[int, Meta(ge=1, le=MAX_ID, extra_json_schema=ID, extra={"expected": "an id: a whole number, as digits"})]
"""An id: taken as a number or as decimal digits."""

INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?", re.ASCII)
BOOL = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}


# ---- gathering


def collect(content_type: str, query: bytes, body: bytes) -> dict[str, Any]:
    """What the query and the body say; the body wins. Files in a multipart form are no parameters.

    Raises:
        BadRequest: one of them cannot be read, or the body is of a type that isn't taken.
    """
    return {**from_query(query), **from_body(content_type, body)}


def from_query(query: bytes) -> dict[str, Any]:
    """The query, as far as it stands behind the question mark, or the body of an urlencoded form.

    Raises:
        BadRequest: it is not UTF-8, or has too many fields.
    """
    try:
        # Half of a surrogate pair is let through, so that the field can be named.
        text = query.decode("utf-8", "surrogatepass")
        return from_pairs(parse_qsl(text, keep_blank_values=True, errors="surrogatepass", max_num_fields=FIELDS_MAX))
    except ValueError as error:
        raise BadRequest(f"The query or form cannot be read: {error}") from None


def from_body(content_type: str, body: bytes) -> dict[str, Any]:
    """A body of any type that is taken.

    Raises:
        BadRequest: it cannot be read, or is of another type.
    """
    if not body:
        return {}
    kind, options = parse_options_header(content_type)
    match kind.lower():
        case Types.JSON:
            return from_json(body)
        case Types.FORM:
            return from_query(body)
        case Types.MULTIPART:
            return from_multipart(body, options.get("boundary", ""))
    raise BadRequest(f"The body is {kind or 'of no stated type'}; taken are {', '.join(Types)}.")


def from_json(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BadRequest: it is none, or cannot be read, or a key comes twice in it, which is then the field.
    """
    try:
        value = strict_json.read_bytes(body)
    except BadJson as error:
        raise BadRequest(f"The body is not valid JSON: {error}.", field=error.key) from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.")
    return value


def from_multipart(body: bytes, boundary: str) -> dict[str, Any]:
    """The fields of a multipart form, without its files.

    Raises:
        BadRequest: it cannot be read, or has too many parts.
    """
    try:
        return from_pairs(_fields_in(body, boundary))
    except (ValueError, HTTPException) as error:
        raise BadRequest(f"The multipart form cannot be read: {error}") from None


def _fields_in(body: bytes, boundary: str) -> Iterator[tuple[str, str]]:
    if not boundary:
        raise ValueError("its Content-Type names no boundary")
    decoder = MultipartDecoder(boundary.encode("ascii"), max_parts=FIELDS_MAX)
    decoder.receive_data(body)
    decoder.receive_data(None)
    name: str | None = None
    while not isinstance(event := decoder.next_event(), Epilogue):
        if isinstance(event, Field | File):
            name = event.name if isinstance(event, Field) else None
        elif isinstance(event, Data) and name:
            yield name, event.data.decode("utf-8", "surrogatepass")  # the body is there as a whole, so a part's data comes as a whole


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


# ---- converting


def convert(struct: type[T], raw: Mapping[str, Any]) -> T:
    """The call's parameters.

    Null, and an empty text where no text is meant, count as left out; what the struct doesn't know is ignored.

    Raises:
        Invalid: a field is wrong or missing; it is named.
    """
    values = {}
    for field in parameters(struct):
        value = raw.get(field.name)
        if value is None or (value == "" and not field.text):
            if field.required:
                raise Invalid(f"{field.name} is required: {field.expected}.", field=field.name)
        else:
            values[field.name] = field.read(value)
    return struct(**values)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A field of a call's struct. `type` bears its constraints, `expected` says them; `reader` undoes what an encoding did."""

    name: str
    type: Any
    required: bool
    text: bool
    expected: str
    reader: Reader

    def read(self, value: Any) -> Any:
        """The field's value.

        Raises:
            Invalid: it is not what is expected.
        """
        try:
            return msgspec.convert(self.reader(value), self.type)
        except (ValueError, RecursionError, OverflowError) as error:
            ours = type(error) is ValueError or (isinstance(error, BadJson) and error.key)  # others' words are about Python's types
            reason = f", but {error}" if ours else ""
            raise Invalid(f"{self.name} must be {self.expected}{reason}.", field=self.name) from None


@lru_cache(maxsize=1024)
def parameters(struct: type[Struct]) -> tuple[Parameter, ...]:
    """The fields of a call's struct, in their order."""
    return tuple(_parameter(field) for field in msgspec.structs.fields(struct))


def _parameter(field: msgspec.structs.FieldInfo) -> Parameter:
    kind = schema.type_info(field.type)
    bare = _bare(kind)
    return Parameter(field.name, field.type, field.required, isinstance(bare, schema.StrType), _expected(kind), _reader(bare))


def _bare(kind: schema.Type) -> schema.Type:
    """The type of a value, without what is said about it and without None."""
    while isinstance(kind, schema.Metadata | schema.UnionType):
        if isinstance(kind, schema.Metadata):
            kind = kind.type
        else:
            inner = [each for each in kind.types if not isinstance(each, schema.NoneType)]
            if len(inner) != 1:
                raise TypeError(f"a parameter has one type, and None at most beside it, not {kind}")
            kind = inner[0]
    return kind


def _reader(kind: schema.Type) -> Reader:
    match kind:
        case schema.IntType():
            return _integer
        case schema.FloatType():
            return _number
        case schema.BoolType():
            return _bool
        case schema.StrType() | schema.LiteralType():
            return _text
        case schema.ListType(item_type=item):
            return _list_of(_bare(item))
        case _:
            return _document


# A reader takes what JSON can say and what a form can only say as text. It raises ValueError where the type is another; msgspec checks
# the rest.


def _integer(value: Any) -> Any:
    return int(value) if isinstance(value, str) and INTEGER.fullmatch(value) else value


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def _bool(value: Any) -> Any:
    if isinstance(value, str):
        return BOOL.get(value.lower(), value)
    return bool(value) if isinstance(value, int) and value in (0, 1) else value


def _text(value: Any) -> Any:
    if isinstance(value, str) and BAD_TEXT.search(value):
        raise ValueError(WHY_BAD)
    return value


def _list_of(kind: schema.Type) -> Reader:
    """One value is a list of one; a form may bear it all as JSON, `name=["1","2"]`; `name[]=` is the empty list.

    A list of texts is none of the last two: there such a text is an item.
    """
    read, text = _reader(kind), isinstance(kind, schema.StrType)

    def read_list(value: Any) -> list[Any]:
        if isinstance(value, str) and value.startswith("[") and not text:
            value = strict_json.read(value)
        items = value if isinstance(value, list) else [value]
        return [read(item) for item in items if text or item != ""]

    return read_list


def _document(value: Any) -> Any:
    """An object, which a form bears as JSON."""
    if isinstance(value, str):
        value = strict_json.read(_text(value))
    _check_texts(value)
    return value


def _check_texts(value: Any) -> None:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for item in value:
            _check_texts(item)
    else:
        _text(value)


# ---- saying what is expected


def _expected(kind: schema.Type) -> str:
    for part in _parts(kind):
        if isinstance(part, schema.Metadata) and part.extra and "expected" in part.extra:
            return str(part.extra["expected"])
    match bare := _bare(kind):
        case schema.IntType() | schema.FloatType():
            name = "a whole number" if isinstance(bare, schema.IntType) else "a number"
            return name + _bounds("from", bare.ge, bare.le)
        case schema.BoolType():
            return "true or false"
        case schema.StrType():
            return f"text{_bounds('of', bare.min_length, bare.max_length, ' characters')}{f' like {bare.pattern}' if bare.pattern else ''}"
        case schema.LiteralType():
            return f"one of {', '.join(map(str, bare.values))}"
        case schema.ListType():
            return f"a list{_bounds('of', bare.min_length, bare.max_length)}, each {_expected(bare.item_type)}"
        case _:
            return "a JSON object"


def _parts(kind: schema.Type) -> Iterator[schema.Type]:
    yield kind
    if isinstance(kind, schema.Metadata):
        yield from _parts(kind.type)
    elif isinstance(kind, schema.UnionType):
        for part in kind.types:
            yield from _parts(part)


def _bounds(word: str, least: float | None, most: float | None, unit: str = "") -> str:
    if least is not None and most is not None:
        return f" {word} {least} to {most}{unit}"
    if least is not None:
        return f" of at least {least}{unit}"
    return "" if most is None else f" of at most {most}{unit}"
