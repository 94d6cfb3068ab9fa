"""The class that a plugin derives from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, ForwardRef, Generic, TypeVar, get_args, get_origin

import pluggy
from pydantic import BaseModel, ConfigDict

from crust.plugin.context import Context

API = 1
"""The generation of this interface. Hooks may gain arguments within one, and lose none."""

PROJECT = "crust"
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a method as a hook; `tryfirst` and `trylast` say where it stands among the filters of all instances."""

CAPABILITIES: Mapping[str, str] = {
    "read:public": "sees public channels of its organisations, and who comes and goes there",
    "read:private": "sees private channels: events of those that its bot is in; filters: what is about to happen in all",
    "read:direct": "sees direct channels: events of those that its bot is in; filters: what is about to happen in all",
    "message:post": "posts messages as its bot",
    "message:edit": "edits its own messages",
    "message:remove": "removes its own messages, and those that its bot's role lets it",
    "reaction:add": "reacts to messages, and takes its reactions away",
    "message:preview": "shows with messages that its bot sees what a link in them leads to",
    "channel:join": "joins public channels",
    "file:upload": "posts files as its bot",
    "channel:direct": "opens direct channels with people of its organisations",
    "file:read": "reads the files on messages that its bot sees",
    "http:request": "sends requests to public addresses",
    "link:public": "makes links by which anybody, without an account, reads a message that its bot sees, or a file on one",
    "user:act": "acts as whoever runs one of its commands, in the channel they run it in: posts, sets the topic, invites",
    "bridge:inject": "posts what people say elsewhere into channels that are linked with rooms there, and changes and removes that",
    "bridge:ghosts": "makes users of those people, who cannot sign in, and lets them come and go in linked channels",
    "sign-in:filter": "is asked before somebody signs in: sees the name, the address and the app, never the password",
}
"""What a plugin may see and do. The list is closed; what a plugin does not name it may not."""


class PluginConfig(BaseModel):
    """The base of every plugin's configuration: `[plugins.<instance>.config]`. Keys that it does not have are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


C = TypeVar("C", bound=PluginConfig)


class Plugin(Generic[C]):
    """A plugin. Making one does no I/O: that begins with `startup`.

    `api` is the generation of this interface that it was written for, `capabilities` what it sees and may do. `collections` says by which
    fields the documents of which collection in `ctx.store` can be found.
    `prefix` is a path such as `/hook` under which the routes of its one instance are, in the place of `/plugins/<instance>`.
    """

    api: ClassVar[int]
    capabilities: ClassVar[AbstractSet[str]] = frozenset({"read:public"})
    collections: ClassVar[Mapping[str, Sequence[str]]] = {}
    prefix: ClassVar[str] = ""
    config_model: ClassVar[type[PluginConfig]] = PluginConfig

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, Plugin):
                model = get_args(base)[0]
                if isinstance(model, ForwardRef):
                    raise TypeError(f"{cls.__name__} names its configuration by a text, {model.__forward_arg__!r}: name the class itself")
                if isinstance(model, type):
                    cls.config_model = model

    def __init__(self, ctx: Context[C]) -> None:
        self.ctx = ctx
