"""What the server answers beside the calls, for those who operate it and for the websocket, as the OpenAPI description has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

RESUME = {
    "name": "resume", "in": "query", "required": False, "schema": {"type": "string"},
    "description": "`EPOCH.POSITION` of the last event that one has dealt with; what cannot be gone on from is a fresh start.",
}  # fmt: skip
METRICS = {"type": "http", "scheme": "bearer", "description": "The setting metrics.token; from the server's own machine none is needed."}
NO_SESSION: dict[str, list[str]] = {}


class Operation(NamedTuple):
    """One of them; all are asked with GET. `security`: what may come with it; the empty one is that nothing has to."""

    path: str
    summary: str
    description: str
    responses: Mapping[str, Any]
    parameters: Sequence[Mapping[str, Any]] = ()
    security: Sequence[Mapping[str, list[str]]] = ()


def state(name: str) -> dict[str, Any]:
    """The answer of a check."""
    status = {"type": "object", "required": ["status"], "properties": {"status": {"const": name}}}
    schema = {"type": "object", "required": ["response"], "properties": {"response": status}}
    return {"200": {"description": "It is.", "content": {"application/json": {"schema": schema}}}}


OPERATIONS = (
    Operation("/health/live", "Say whether the process answers", "", state("live")),
    Operation(
        "/health/ready", "Say whether the server can do its work", "It cannot while its database does not answer: `unavailable`.",
        state("ready"),
    ),
    Operation(
        "/metrics", "What this node counts, as Prometheus' text",
        "For the server's own machine, and for whoever has the token of the setting `metrics.token`, as `Authorization: Bearer`.",
        {"200": {"description": "What is counted.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
        security=[NO_SESSION, {"metrics": []}],
    ),
    Operation(
        "/websocket/client", "Open the websocket",
        "The session comes with the upgrade, as for a call, or in a first frame `login`. The frames are those of the websocket's protocol.",
        {"101": {"description": "The connection is a websocket from then on."}},
        [RESUME], [NO_SESSION, {"bearer": []}, {"header": []}, {"cookie": []}],
    ),
)  # fmt: skip
PATHS = frozenset(each.path for each in OPERATIONS)


def operations(refused: Mapping[str, Any]) -> dict[str, Any]:
    """Their paths in the description; `refused` is what each may answer too."""
    return {each.path: {"get": described(each, refused)} for each in OPERATIONS}


def described(each: Operation, refused: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "summary": each.summary,
        "description": each.description,
        "operationId": each.path.strip("/").replace("/", "_"),
        "parameters": [*each.parameters],
        "responses": {**each.responses, "default": refused},
        "security": [*each.security],
        "tags": [each.path.split("/")[1]],
    }
