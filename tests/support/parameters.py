"""Parameters of every kind, and the encodings that they come in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from crust.api.params import Id

Limit = Annotated[int, Meta(ge=1, le=200, description="How many at most.")]
FORM, JSON, MULTIPART = "application/x-www-form-urlencoded", "application/json; charset=utf-8", "multipart/form-data; boundary=limit-XyZ"


class Everything(Struct, kw_only=True):
    """One field of each kind."""

    contents: str
    id: Annotated[Id | None, Meta(description="Which.")] = None
    members: Annotated[list[Id], Meta(max_length=5)] | None = None
    tags: list[str] = []
    limit: Limit = 50
    ratio: Annotated[float, Meta(ge=0, le=1)] = 0.5
    archived: bool = False
    pinned: bool | None = None
    type: Literal["public", "private"] | None = None
    name: Annotated[str, Meta(min_length=1, max_length=5)] | None = None
    key: Annotated[str, Meta(pattern="^[a-z]+$")] | None = None
    options: dict[str, Any] | None = None
    avatar: str | UnsetType | None = UNSET


def multipart(fields: list[tuple[str, str]]) -> bytes:
    parts = [
        b'--limit-XyZ\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value.encode())
        for name, value in fields
    ]
    return b"".join([*parts, b"--limit-XyZ--\r\n"])
