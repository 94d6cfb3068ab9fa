"""The OpenAPI 3.1 description, made from the same structs that parse the requests."""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from crust import __version__
from crust.api import beside
from crust.api.calls import Answer, Call, Page, Registry
from crust.api.params import ID, Types
from crust.api.uploads import PART
from crust.errors import CODES, ERRORS
from crust.ids import MAX_ID
from crust.services import names
from crust.services.files import Content
from crust.services.limits import Rate

SCHEMAS = "#/components/schemas/"
ABOUT = (
    "Parameters go as query, form, multipart or JSON alike. In a query or a form a list is its name again and again "
    '(`members=1&members=2`), `members[]=1`, or a JSON array as text (`members=["1","2"]`).'
)
ID_SCHEMA = {**ID, "type": ["string", "integer"], "pattern": "^[0-9]{1,19}$", "minimum": 1, "maximum": MAX_ID}
ERROR = {
    "type": "object",
    "required": ["error"],
    "description": "What every refusal is, with the HTTP status of its code; over the websocket too.",
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "code"],
            "description": "What was refused, and why.",
            "properties": {
                "message": {"type": "string", "description": "One sentence for people."},
                "code": {"type": "string", "enum": list(CODES), "description": "For programs; the list is closed."},
                "field": {"type": "string", "description": "The parameter, or the header, that was wrong; left out where none was."},
                "retry_after": {"type": "number", "description": "Seconds after which a repeat makes sense; left out where none does."},
                "request_id": {"type": ["string", "null"], "description": "Finds it in the server's log; over HTTP alone."},
            },
        }
    },
}
SUCCESS = {
    "type": "object",
    "required": ["success"],
    "properties": {"success": {"type": "object", "required": ["message"], "properties": {"message": {"const": "OK"}}}},
}
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The Session ID."},
    "header": {"type": "apiKey", "in": "header", "name": "X-Session-ID", "description": "The Session ID."},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "crust_session", "description": "The Session ID."},
}
CLIENT_ID = {
    "name": "X-Client-ID", "in": "header", "schema": {"type": "string", "pattern": f"^{names.CLIENT_ID.pattern}$"},
    "description": "The app instance that asks: a browser profile, a bot. No secret; a session belongs to one, and sign-in makes one up.",
}  # fmt: skip
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 64},
    "description": "A name for this request: a repeat with it, and the same parameters, gives the first result, with `duplicate`.",
}  # fmt: skip
HEADERS = {
    "X-Request-ID": "What the server's log calls the request: what came under this name, or made up.",
    "RateLimit-Limit": "Requests of this rate class at once.",
    "RateLimit-Remaining": "How many of them are left.",
    "RateLimit-Reset": "Seconds until all of them are there again.",
    "Retry-After": "Seconds after which a repeat makes sense, where something is `rate_limited` or `unavailable`.",
}
"""Of answers."""
RATES = {
    "messages": ("session", "messages that are posted", "limits.messages_per_second", "limits.messages_burst"),
    "writes": ("session", "other changes: POST, PUT and DELETE", "limits.writes_per_second", "limits.writes_burst"),
    "reads": ("session", "GET", "limits.reads_per_second", "limits.reads_burst"),
    "uploads": ("session", "PUT of a file", "limits.uploads_per_minute"),
    "sockets": ("address", "websockets that are opened", "limits.sockets_per_minute"),
}
"""Rate class → whose requests are counted together, which they are, and the settings. What needs no session is counted by address."""

ANSWERED = {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS if name != "Retry-After"}
REFUSED = {
    "description": "Refused.",
    "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-ID", "Retry-After")},
    "content": {"application/json": {"schema": {"$ref": f"{SCHEMAS}Error"}}},
}

FILE = {"type": "string", "format": "binary"}
BYTES = {"*/*": {"schema": FILE}}
UNCHANGED = {"description": "It is what If-None-Match names."}
RANGE = {"name": "Range", "in": "header", "schema": {"type": "string"}, "description": "One range of bytes, such as bytes=0-499."}


def openapi(registry: Registry) -> dict[str, Any]:
    """The whole document."""
    calls = [call for methods in registry.calls.values() for call in methods.values()]
    kinds = [part for call in calls for part in (call.params, *results(call))]
    schemas, components = with_ids(msgspec.json.schema_components(kinds, ref_template=f"{SCHEMAS}{{name}}"))
    by_type = {str(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, Any] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = operation(call, by_type, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Crust", "version": __version__, "description": ABOUT},
        "paths": {**paths, **beside.operations(REFUSED)},
        "components": {
            "schemas": {**components, "Id": ID_SCHEMA, "Error": ERROR},
            "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()},
            "securitySchemes": {**SECURITY, "metrics": beside.METRICS},
        },
        "x-errors": [{"code": error.code, "status": error.status, "meaning": error.meaning} for error in ERRORS],
        "x-rate-limits": [limit(name, rate) for name, rate in registry.limiter.rates.items()],
    }


def limit(name: str, rate: Rate) -> dict[str, Any]:
    """A rate class as this server has it."""
    counted_by, of, *settings = RATES[name]
    return {"class": name, "of": of, "counted_by": counted_by, "per_second": rate.per_second, "burst": rate.burst, "settings": settings}


def results(call: Call) -> list[Any]:
    """The types that a call's result may have: lists as the type of the whole list, None left out."""
    return [part for part in map(unwrapped, parts(call.result)) if part not in (None, type(None), Content)]


def parts(result: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    return get_args(result) if get_origin(result) in (Union, types.UnionType) else (result,)


def with_ids(value: Any) -> Any:
    """A schema in which every id may be text too: the number that msgspec sees in it is more than JavaScript can hold."""
    if isinstance(value, dict):
        if value.get("title") == ID["title"]:
            own = {key: each for key, each in value.items() if key in ("description", "default") and each != ID["description"]}
            return {"$ref": f"{SCHEMAS}Id", **own}
        return hoisted({key: with_ids(each) for key, each in value.items()})
    return type(value)(map(with_ids, value)) if isinstance(value, list | tuple) else value


def hoisted(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that describes itself where only one of its alternatives did, as with what may be left out."""
    said = [each["description"] for each in schema.get("anyOf", ()) if "description" in each]
    return {"description": said[0], **schema} if len(said) == 1 else schema


def unwrapped(result: Any) -> Any:
    if get_origin(result) is Answer:
        return unwrapped(get_args(result)[0])
    if get_origin(result) is Page:
        return list[get_args(result)[0]]  # type: ignore[misc]  # a type made at run time
    return result


def operation(call: Call, by_type: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """One call."""
    summary, _, rest = call.description.partition("\n")
    binary = call.result is Content
    content = BYTES if binary else {"application/json": {"schema": answer(call, by_type)}}
    body = {"description": "What was asked for.", "headers": ANSWERED, "content": content}
    described: dict[str, Any] = {
        "summary": summary.rstrip("."),
        "description": rest.strip(),
        "operationId": call.path.strip("/").replace("/", "_"),
        "parameters": [CLIENT_ID, *([IDEMPOTENCY_KEY] if call.creates else [])],
        "responses": {"200": body, "default": REFUSED},
        "security": [] if call.access == "open" else [{name: []} for name in SECURITY],
        "tags": [call.path.split("/")[1]],
    }
    schema = components[by_type[str(call.params)]["$ref"].removeprefix(SCHEMAS)]  # its name is longer where two are called the same
    if binary:
        described["responses"] |= {"206": body | {"description": "The part that Range names."}, "304": UNCHANGED}
        described["parameters"] += [RANGE]
    if call.method in ("GET", "DELETE") or call.uploads:
        described["parameters"] += query(call.params, schema)
    if call.uploads:
        described["requestBody"] = {"required": True, "content": upload(schema)}
    elif call.method not in ("GET", "DELETE") and schema.get("properties"):
        described["requestBody"] = {
            "required": bool(schema.get("required")),
            "content": {encoding: {"schema": by_type[str(call.params)]} for encoding in Types},
        }
    return described


def upload(schema: dict[str, Any]) -> dict[str, Any]:
    """The body of a call that takes a file: the file as it is, or a form with it and the call's parameters."""
    form = {
        "type": "object",
        "required": [PART],
        "properties": {PART: {**FILE, "description": "The file."}, **schema.get("properties", {})},
    }
    return {"application/octet-stream": {"schema": FILE}, str(Types.MULTIPART): {"schema": form}}


def query(params: type[Struct], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """A struct's fields as parameters in the query."""
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "description": field.get("description", ""), "schema": field}
        for name, field in schema.get("properties", {}).items()
    ]


def answer(call: Call, by_type: dict[str, Any]) -> dict[str, Any]:
    """The envelope around a result."""
    kinds = [by_type[str(kind)] for kind in results(call)]
    if not kinds:
        return SUCCESS
    inner = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    properties: dict[str, Any] = {"response": inner}
    if any(get_origin(part) is Page for part in parts(call.result)):
        properties["next"] = {"type": ["string", "null"], "description": "What to pass on for more."}
    whole = {"type": "object", "required": ["response"], "properties": properties}
    return {"anyOf": [whole, SUCCESS]} if type(None) in parts(call.result) else whole
