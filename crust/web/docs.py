"""`/docs`: a page that shows the API's description and the websocket beside it. It asks for nothing from elsewhere and needs no script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup
from quart import Blueprint, Response, render_template

from crust.web.examples import EXAMPLES

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}
SCHEMAS = "#/components/schemas/"
PROSE = MarkdownIt("zero", {"html": False}).enable(["backticks", "emphasis", "paragraph"])
BOUNDS = {
    "minimum": "from {}", "maximum": "to {}", "minLength": "at least {} characters", "maxLength": "at most {} characters",
    "minItems": "at least {}", "maxItems": "at most {}", "pattern": "like {}",
}  # fmt: skip
NAMES = {"string": "text", "integer": "whole number", "boolean": "true or false", "array": "list", "object": "object", "null": "null"}


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a part of an object."""

    name: str
    kind: Markup
    bounds: str
    required: bool
    default: Any
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """A call as it is shown."""

    method: str
    path: str
    anchor: str
    summary: str
    description: str
    fields: Sequence[Field]
    encodings: Sequence[str]
    result: Markup
    open: bool
    creates: bool


def blueprint(describe: Callable[[], Mapping[str, Any]], websocket: Callable[[], Any]) -> Blueprint:
    """The page, made when it is first asked for.

    Args:
        describe: gives the OpenAPI description.
        websocket: gives a `crust.ws.description.Description`.
    """
    page = Blueprint("docs", __name__, template_folder="templates", static_folder="static", static_url_path="/docs/static")
    page.add_app_template_filter(prose)
    rendered: list[str] = []

    @page.get("/docs")
    async def show() -> Response:
        if not rendered:
            rendered.append(await render_template("docs.html", **shown(describe(), websocket())))
        return Response(rendered[0], headers=HEADERS, content_type="text/html; charset=utf-8")

    return page


def shown(document: Mapping[str, Any], websocket: Any) -> dict[str, Any]:
    """What the template is given."""
    schemas = {**websocket.schemas, **document["components"]["schemas"]}
    return {
        "document": document,
        "nouns": nouns(document),
        "websocket": websocket,
        "schemas": {name: list(fields(schema)) for name, schema in sorted(schemas.items()) if schema.get("properties")},
        "about": {name: schema.get("description", "") for name, schema in schemas.items()},
        "fields_of": lambda verb: list(verb_fields(document, verb)),
        "examples": EXAMPLES,
        "errors": document.get("x-errors", []),
        "rates": document.get("x-rate-limits", []),
        "request_headers": request_headers(document),
        "answer_headers": {name: header["description"] for name, header in document["components"].get("headers", {}).items()},
    }


def request_headers(document: Mapping[str, Any]) -> dict[str, str]:
    """The headers that some call takes, and what they mean."""
    described = [each for methods in document["paths"].values() for operation in methods.values() for each in operation["parameters"]]
    return {each["name"]: each.get("description", "") for each in described if each["in"] == "header"}


def verb_fields(document: Mapping[str, Any], verb: Any) -> Iterator[Field]:
    """What a verb of the websocket takes: what the protocol checks, and what its call does, under the names of frames."""
    yield from fields(verb.data)
    method, path = verb.call or ("", "")
    described = document["paths"].get(path, {}).get(method.lower(), {})
    for each in in_body(document, described.get("requestBody", {}).get("content", {})):
        yield replace(each, name=verb.renamed.get(each.name, each.name))


def prose(text: str) -> Markup:
    """A docstring's words, with its `code` and *stress*."""
    return Markup(PROSE.renderInline(" ".join(text.split())))  # noqa: S704  # HTML in it is escaped


def nouns(document: Mapping[str, Any]) -> dict[str, list[Operation]]:
    """The calls, by noun."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            found.setdefault(described["tags"][0], []).append(operation(document, path, method, described))
    return found


def operation(document: Mapping[str, Any], path: str, method: str, described: Mapping[str, Any]) -> Operation:
    content = described.get("requestBody", {}).get("content", {})
    status, answer = next(iter(described["responses"].items()))
    return Operation(
        method=method.upper(),
        path=path,
        anchor=f"{method}-{described['operationId']}",
        summary=described["summary"],
        description=described["description"],
        fields=[*in_query(described), *in_body(document, content)],
        encodings=list(content),
        result=result(answer["content"])
        if "content" in answer
        else Markup("{}: {}").format(status, answer.get("description", "").rstrip(".")),
        open=not described["security"],
        creates=any(each["name"] == "Idempotency-Key" for each in described["parameters"]),
    )


def in_query(described: Mapping[str, Any]) -> Iterator[Field]:
    for each in described["parameters"]:
        if each["in"] == "query":
            yield field(each["name"], {**each["schema"], "description": each.get("description", "")}, required=each["required"])


def in_body(document: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[Field]:
    """The fields of a body: of each type the same, so those of the first that has any."""
    for each in content.values():
        found = list(fields(resolved(document, each["schema"])))
        if found:
            yield from found
            return


def resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").removeprefix(SCHEMAS)
    return document["components"]["schemas"][name] if name else schema


def result(answer: Mapping[str, Any]) -> Markup:
    """What stands in `response`; for what is no JSON, its types."""
    schema = answer.get("application/json", {}).get("schema")
    if schema is None:
        return Markup(", ").join(answer)
    if "anyOf" in schema:
        return Markup(" or ").join(map(envelope, schema["anyOf"]))
    return envelope(schema)


def envelope(schema: Mapping[str, Any]) -> Markup:
    inner = schema.get("properties", {})
    if "response" not in inner:
        return Markup("success")
    return parts(inner["response"]) + (Markup(", and <code>next</code>") if "next" in inner else "")


def parts(schema: Mapping[str, Any]) -> Markup:
    """A result's type; one that has no name of its own is told by its parts."""
    inside = Markup(", ").join(
        Markup("<code>{}</code>: {}").format(name, kind(part)) for name, part in schema.get("properties", {}).items()
    )
    return inside or kind(schema)


def fields(schema: Mapping[str, Any]) -> Iterator[Field]:
    """The parts of an object; those of an object within it behind it, as `error.code`."""
    required = schema.get("required", ())
    for name, part in schema.get("properties", {}).items():
        yield field(name, part, required=name in required)
        for each in fields(part):
            yield replace(each, name=f"{name}.{each.name}")


def field(name: str, schema: Mapping[str, Any], *, required: bool) -> Field:
    return Field(name, kind(schema), bounds(schema), required, schema.get("default"), schema.get("description", ""))


def kind(schema: Mapping[str, Any]) -> Markup:
    """A schema's type in words; what has a name is a link to it."""
    if name := schema.get("$ref", "").removeprefix(SCHEMAS):
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(kind(each) for each in schema["anyOf"] if each.get("type") != "null") + or_null(schema["anyOf"])
    if "enum" in schema:
        return Markup(" or ").join(Markup("<code>{}</code>").format(each) for each in schema["enum"] if each is not None)
    if "const" in schema:
        return Markup("<code>{}</code>").format(schema["const"])
    if schema.get("type") == "array":
        return Markup("list of {}").format(kind(schema.get("items", {})))
    types = schema.get("type", "anything")
    return Markup(" or ").join(NAMES.get(each, each) for each in ([types] if isinstance(types, str) else types))


def or_null(choices: Sequence[Mapping[str, Any]]) -> str:
    return " or null" if any(each.get("type") == "null" for each in choices) else ""


def bounds(schema: Mapping[str, Any]) -> str:
    """What a value has to keep to, beside its type."""
    parts = [schema, *schema.get("anyOf", ())]
    return ", ".join(said.format(part[name]) for part in parts for name, said in BOUNDS.items() if name in part)
