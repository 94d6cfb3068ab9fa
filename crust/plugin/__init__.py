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
shown, happened.py what has happened, bridge.py what bridges are made of.
"""

from crust.errors import (
    BadRequest,
    Conflict,
    CrustError,
    EventRefused,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    RateLimited,
    Rejected,
    TargetError,
    TooLarge,
    Unavailable,
)
from crust.events.objects import Attachment, Channel, Member, Message, MessageEdited, MessageRemoved, Preview, Reacted, User
from crust.plugin.base import API, CAPABILITIES, Plugin, PluginConfig, hookimpl
from crust.plugin.bridge import (
    UNVERIFIED,
    Author,
    Bridge,
    BridgeContext,
    BridgeHost,
    Crossing,
    Crossings,
    Finding,
    Injected,
    Link,
    Outgoing,
    OutgoingEdit,
    OutgoingMembership,
    OutgoingMessage,
    OutgoingReaction,
    OutgoingRemoval,
    OutgoingTopic,
    OutgoingTyping,
    Remote,
    Sent,
    State,
    Target,
    Trust,
)
from crust.plugin.cli import Cli
from crust.plugin.commands import Caller, CommandHelp, Commands, Invocation, Rest
from crust.plugin.context import Answer, Chat, Collection, Context, Document, Files, Http, HttpRefused, Logger, Store, Tasks
from crust.plugin.drafts import DeleteDraft, EditDraft, JoinDraft, MessageDraft, Reject, SignInDraft, UploadDraft
from crust.plugin.happened import Happened
from crust.plugin.jobs import JobRun, Jobs
from crust.plugin.routes import HttpRequest, HttpResponse, Routes

__all__ = [
    "API",
    "CAPABILITIES",
    "UNVERIFIED",
    "Answer",
    "Attachment",
    "Author",
    "BadRequest",
    "Bridge",
    "BridgeContext",
    "BridgeHost",
    "Caller",
    "Channel",
    "Chat",
    "Cli",
    "Collection",
    "CommandHelp",
    "Commands",
    "Conflict",
    "Context",
    "Crossing",
    "Crossings",
    "CrustError",
    "DeleteDraft",
    "Document",
    "EditDraft",
    "EventRefused",
    "Files",
    "Finding",
    "Forbidden",
    "Gone",
    "Happened",
    "Http",
    "HttpRefused",
    "HttpRequest",
    "HttpResponse",
    "Injected",
    "Invalid",
    "Invocation",
    "JobRun",
    "Jobs",
    "JoinDraft",
    "Link",
    "Logger",
    "Member",
    "Message",
    "MessageDraft",
    "MessageEdited",
    "MessageRemoved",
    "NotFound",
    "Outgoing",
    "OutgoingEdit",
    "OutgoingMembership",
    "OutgoingMessage",
    "OutgoingReaction",
    "OutgoingRemoval",
    "OutgoingTopic",
    "OutgoingTyping",
    "Plugin",
    "PluginConfig",
    "Preview",
    "RateLimited",
    "Reacted",
    "Reject",
    "Rejected",
    "Remote",
    "Rest",
    "Routes",
    "Sent",
    "SignInDraft",
    "State",
    "Store",
    "Target",
    "TargetError",
    "Tasks",
    "TooLarge",
    "Trust",
    "Unavailable",
    "UploadDraft",
    "User",
    "hookimpl",
]
