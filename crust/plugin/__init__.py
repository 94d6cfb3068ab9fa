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

from crust.errors import BadRequest, Conflict, CrustError, EventRefused, Forbidden, Gone, Invalid, NotFound, TargetError, Unavailable
from crust.events.objects import Attachment, Channel, Member, Message, MessageEdited, MessageRemoved, Preview, Reacted, User
from crust.plugin.base import API, CAPABILITIES, Plugin, PluginConfig, hookimpl
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
    "Answer",
    "Attachment",
    "BadRequest",
    "Caller",
    "Channel",
    "Chat",
    "Cli",
    "Collection",
    "CommandHelp",
    "Commands",
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
    "HttpRequest",
    "HttpResponse",
    "Invalid",
    "Invocation",
    "JobRun",
    "Jobs",
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
    "Rest",
    "Routes",
    "SignInDraft",
    "Store",
    "TargetError",
    "Tasks",
    "Unavailable",
    "UploadDraft",
    "User",
    "hookimpl",
]
