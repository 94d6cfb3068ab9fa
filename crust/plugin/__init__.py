"""What plugins and bridges are made of. Everything that an author imports is here.

    class Config(PluginConfig):
        greeting: str = Field("Welcome, {name}!", description="What newcomers are told")

    class Welcome(Plugin[Config]):
        api = 1
        capabilities = frozenset({"read:public", "message:post"})

        @hookimpl
        async def on_member_joined(self, event: Happened[Member]) -> None:
            await self.ctx.chat.post(event.channel_id, self.ctx.config.greeting.format(name=event.body.user.name))

A plugin is a class; each table `[plugins.<name>]` of the settings makes a named instance of one, with a bot user of its own. hooks.py has
every hook that there is, context.py what a plugin has as `self.ctx`, base.py the class and its capabilities, drafts.py what filters are
shown, happened.py what has happened.
"""

from crust.errors import (
    Conflict,
    CrustError,
    EventRefused,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Rejected,
    TargetError,
    TooLarge,
    Unavailable,
)
from crust.events.objects import Attachment, Channel, Member, Message, MessageEdited, MessageRemoved, Preview, Reacted, User
from crust.plugin.base import API, CAPABILITIES, Plugin, PluginConfig, hookimpl
from crust.plugin.context import Answer, Chat, Collection, Context, Document, Files, Http, HttpRefused, Logger, Store, Tasks
from crust.plugin.drafts import DeleteDraft, EditDraft, JoinDraft, MessageDraft, Reject, SignInDraft, UploadDraft
from crust.plugin.happened import Happened

__all__ = [
    "API",
    "CAPABILITIES",
    "Answer",
    "Attachment",
    "Channel",
    "Chat",
    "Collection",
    "Conflict",
    "Context",
    "CrustError",
    "DeleteDraft",
    "Document",
    "EditDraft",
    "EventRefused",
    "Files",
    "Forbidden",
    "Gone",
    "Happened",
    "Http",
    "HttpRefused",
    "Invalid",
    "JoinDraft",
    "Logger",
    "Member",
    "Message",
    "MessageDraft",
    "MessageEdited",
    "MessageRemoved",
    "NotFound",
    "Plugin",
    "PluginConfig",
    "Preview",
    "Reacted",
    "Reject",
    "Rejected",
    "SignInDraft",
    "Store",
    "TargetError",
    "Tasks",
    "TooLarge",
    "Unavailable",
    "UploadDraft",
    "User",
    "hookimpl",
]
