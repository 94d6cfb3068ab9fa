"""The OpenAPI description: right by the standard, and true to what the calls take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, cast

import msgspec
import pytest
import schemathesis
from msgspec import Meta, Struct

from crust.api import channels, commands, files, messages, organisations, plugins, server, teams, users
from crust.api.beside import PATHS
from crust.api.calls import Answer, Context, Page, Registry
from crust.api.openapi import openapi
from crust.api.params import Id
from crust.clock import ManualClock
from crust.errors import CODES
from crust.ids import MAX_ID
from crust.services.core import Core
from crust.services.files import Content
from crust.services.limits import TokenBuckets
from crust.settings import Limits

TAKEN = {"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}


class Result(Struct, kw_only=True):
    """What comes back."""

    id: str


class Edit(Struct, kw_only=True):
    """Parameters of a change."""

    id: Annotated[Id | None, Meta(description="The thing to change.")] = None
    name: Annotated[str, Meta(min_length=1, max_length=10)]
    members: Annotated[list[Id], Meta(max_length=5)] = []


class Search(Struct, kw_only=True):
    """Parameters of a search."""

    id: Id
    type: Literal["public", "private"] | None = None
    limit: Annotated[int, Meta(ge=1, le=200, description="How many at most.")] = 50


class Nothing(Struct):
    """No parameters."""


def same_name() -> type[Struct]:
    """Another struct that is called Edit, as modules may have them."""
    return msgspec.defstruct("Edit", [("other", str)], module="elsewhere")


OtherEdit = same_name()


class ThingCalls:
    """Handlers."""

    async def edit(self, context: Context, params: Edit) -> Result:
        """Make a thing, or rename one.

        The second paragraph says more.
        """
        return Result(id="1")

    async def search(self, context: Context, params: Search) -> Page[Result] | Result:
        """Things."""
        return Page([], None)

    async def remove(self, context: Context, params: Search) -> None:
        """Remove a thing."""

    async def invite(self, context: Context, params: Search) -> Result | None:
        """Make a thing where it takes one."""
        return None

    async def login(self, context: Context, params: OtherEdit) -> Answer[Result]:  # type: ignore[valid-type]  # made at run time
        """Sign in."""
        return Answer(Result(id="1"))

    async def attach(self, context: Context, params: Search) -> Result:
        """Put a file on a thing."""
        return Result(id="1")

    async def read(self, context: Context, params: Search) -> Content:
        """A thing's file."""
        raise NotImplementedError

    async def list(self, context: Context, params: Nothing) -> list[Result]:
        """All."""
        return []


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """As it is served."""
    registry = Registry(TokenBuckets.of(Limits(), ManualClock()))
    calls = ThingCalls()
    registry.add("POST", "/thing/edit", calls.edit, creates=True)
    registry.add("GET", "/thing/search", calls.search)
    registry.add("DELETE", "/thing/remove", calls.remove)
    registry.add("POST", "/thing/invite", calls.invite)
    registry.add("POST", "/thing/login", calls.login, access="open")
    registry.add("GET", "/thing/list", calls.list)
    registry.add("PUT", "/thing/attach", calls.attach, uploads=True)
    registry.add("GET", "/thing/file", calls.read)
    described: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(openapi(registry)))
    return described


def parameters(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in operation["parameters"]}


def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    """By the standard's own schema, and every call can be made from it."""
    schema = schemathesis.openapi.from_dict(document)
    schema.validate()
    assert len([*schema.get_all_operations()]) == 8 + len(PATHS)
    assert document["openapi"].startswith("3.1.")


def test_reading_takes_the_query(document: dict[str, Any]) -> None:
    """GET and DELETE: each field is a parameter with what its Meta says."""
    for path, method in (("/thing/search", "get"), ("/thing/remove", "delete")):
        operation = document["paths"][path][method]
        assert "requestBody" not in operation
        fields = parameters(operation)
        assert (fields["id"]["in"], fields["id"]["required"], fields["type"]["required"]) == ("query", True, False)
        limit = fields["limit"]["schema"]
        assert limit == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50, "description": "How many at most."}


def test_writing_takes_three_encodings_of_one_schema(document: dict[str, Any]) -> None:
    """JSON, urlencoded form and multipart form."""
    body = document["paths"]["/thing/edit"]["post"]["requestBody"]
    assert set(body["content"]) == TAKEN
    (schema,) = {content["schema"]["$ref"] for content in body["content"].values()}
    edit = document["components"]["schemas"][schema.rpartition("/")[2]]
    assert edit["required"] == ["name"]
    assert edit["properties"]["name"] == {"type": "string", "minLength": 1, "maxLength": 10}


def test_an_id_is_text_or_a_number(document: dict[str, Any]) -> None:
    """A generated client in JavaScript, whose numbers end at 2^53, must be able to send it as text."""
    schemas = document["components"]["schemas"]
    assert schemas["Id"] | {"type": ["string", "integer"], "minimum": 1, "maximum": MAX_ID} == schemas["Id"]
    assert schemas["Id"]["pattern"]
    assert parameters(document["paths"]["/thing/search"]["get"])["id"]["schema"] == {"$ref": "#/components/schemas/Id"}
    members = next(each for each in schemas.values() if "members" in each.get("properties", {}))["properties"]["members"]
    assert members["items"] == {"$ref": "#/components/schemas/Id"}
    assert members["maxItems"] == 5


def test_answers_are_in_the_envelope(document: dict[str, Any]) -> None:
    """One result, a page with `next`, a list, or success; anything else is the error, with the closed list of codes."""

    def answer(path: str, method: str) -> dict[str, Any]:
        responses = document["paths"][path][method]["responses"]
        assert responses["default"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
        schema: dict[str, Any] = responses["200"]["content"]["application/json"]["schema"]
        return schema

    assert answer("/thing/edit", "post")["properties"]["response"]["$ref"].endswith("Result")
    assert answer("/thing/login", "post")["properties"]["response"]["$ref"].endswith("Result")
    assert set(answer("/thing/search", "get")["properties"]) == {"response", "next"}
    assert set(answer("/thing/list", "get")["properties"]) == {"response"}
    assert answer("/thing/list", "get")["properties"]["response"]["type"] == "array"
    assert set(answer("/thing/remove", "delete")["properties"]) == {"success"}
    assert [set(each["properties"]) for each in answer("/thing/invite", "post")["anyOf"]] == [{"response"}, {"success"}]
    error = document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]
    assert error["code"]["enum"] == list(CODES)
    assert all(field["description"] for field in error.values())


def test_the_closed_list_of_errors_is_told(document: dict[str, Any]) -> None:
    """Each code with its status and what it means, and which headers answers bear."""
    assert {each["code"]: each["status"] for each in document["x-errors"]} == CODES
    assert all(each["meaning"].endswith(".") for each in document["x-errors"])
    headers = document["components"]["headers"]
    for method in document["paths"]["/thing/edit"].values():
        for response in method["responses"].values():
            assert {each["$ref"].rpartition("/")[2] for each in response["headers"].values()} <= set(headers)
        assert "Retry-After" in method["responses"]["default"]["headers"]


def test_rates_are_told_as_they_are() -> None:
    """Each class with this server's numbers and the settings that they come from; nothing where nothing is limited."""
    told = openapi(Registry(TokenBuckets.of(Limits(messages_per_second=3, messages_burst=7), ManualClock())))["x-rate-limits"]
    assert {each["class"] for each in told} == {"messages", "writes", "reads", "uploads", "sockets"}
    assert (told[0]["class"], told[0]["per_second"], told[0]["burst"]) == ("messages", 3, 7)
    assert {name.removeprefix("limits.") for each in told for name in each["settings"]} <= set(Limits.model_fields)
    assert openapi(Registry(TokenBuckets.of(Limits(enabled=False), ManualClock())))["x-rate-limits"] == []


def test_what_is_beside_the_calls_is_told_too(document: dict[str, Any]) -> None:
    """Health, metrics and the websocket, with what each may answer."""
    for path in PATHS:
        assert "default" in document["paths"][path]["get"]["responses"]
    assert "101" in document["paths"]["/websocket/client"]["get"]["responses"]
    assert "text/plain" in document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]


def test_every_parameter_of_every_call_says_what_it_is() -> None:
    """In the query, in each kind of body, and in the headers."""
    registry = Registry(TokenBuckets.of(Limits(), ManualClock()))
    for part in (channels, commands, files, messages, organisations, plugins, server, teams, users):
        part.register(registry, cast("Core", None))
    document = openapi(registry)
    silent = [
        f"{method} {path} {name}"
        for path, methods in document["paths"].items()
        for method, described in methods.items()
        for name, text in descriptions(document, described)
        if not text
    ]
    assert len(document["paths"]) > 50
    assert silent == []


def descriptions(document: dict[str, Any], described: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each parameter of a call, and what is said of it."""
    for each in described["parameters"]:
        yield each["name"], each.get("description", "")
    for content in described.get("requestBody", {}).get("content", {}).values():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        schema = document["components"]["schemas"][name] if name else content["schema"]
        for field, part in schema.get("properties", {}).items():
            yield field, part.get("description", "")


def test_a_file_is_sent_as_it_is_or_in_a_form(document: dict[str, Any]) -> None:
    """With the call's parameters in the query, or beside it in the form."""
    operation = document["paths"]["/thing/attach"]["put"]
    content = operation["requestBody"]["content"]
    assert set(content) == {"application/octet-stream", "multipart/form-data"}
    assert content["application/octet-stream"]["schema"] == {"type": "string", "format": "binary"}
    form = content["multipart/form-data"]["schema"]
    assert (form["required"], set(form["properties"])) == (["upload"], {"upload", "id", "type", "limit"})
    assert parameters(operation)["id"]["in"] == "query"


def test_a_file_is_answered_as_bytes(document: dict[str, Any]) -> None:
    """Whole or in part; what goes wrong is said in the envelope."""
    operation = document["paths"]["/thing/file"]["get"]
    for status in ("200", "206"):
        assert operation["responses"][status]["content"] == {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    assert "content" not in operation["responses"]["304"]
    assert parameters(operation)["Range"]["in"] == "header"


def test_sessions_come_in_three_ways(document: dict[str, Any]) -> None:
    """Bearer, header or cookie; open calls need none."""
    assert document["paths"]["/thing/login"]["post"]["security"] == []
    needed = document["paths"]["/thing/edit"]["post"]["security"]
    schemes = document["components"]["securitySchemes"]
    assert [(schemes[name]["type"], schemes[name].get("in")) for each in needed for name in each] == [
        ("http", None),
        ("apiKey", "header"),
        ("apiKey", "cookie"),
    ]


def test_creating_takes_an_idempotency_key(document: dict[str, Any]) -> None:
    """As a header, on the calls that create and no others."""
    assert "Idempotency-Key" in parameters(document["paths"]["/thing/edit"]["post"])
    assert "Idempotency-Key" not in parameters(document["paths"]["/thing/remove"]["delete"])


def test_docstrings_describe_the_calls(document: dict[str, Any]) -> None:
    """The first line is the summary, the rest the description."""
    operation = document["paths"]["/thing/edit"]["post"]
    assert (operation["summary"], operation["description"]) == ("Make a thing, or rename one", "The second paragraph says more.")


def test_two_structs_of_one_name_are_two_schemas(document: dict[str, Any]) -> None:
    """Modules needn't know each other's names."""
    bodies = [
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        for path in ("/thing/edit", "/thing/login")
    ]
    assert len({*bodies}) == 2
    properties = [set(document["components"]["schemas"][body.rpartition("/")[2]]["properties"]) for body in bodies]
    assert properties == [{"id", "name", "members"}, {"other"}]
