"""Every hook that there is. A plugin implements those that it wants, marked with `@hookimpl`; an implementation may take fewer arguments.

`def` or `async def` is part of the contract: a hook of the other colour is refused when the plugin is loaded, as is a misspelt one.

- `filter_*` (async) run in the core before something happens: 1 s each and 2 s for all of them. They give back a changed draft,
  `Reject` or None. Exceptions mean a bug: then `on_error` of the instance decides. They run in every process, `startup` or not.
- `on_*` (async) run after it has happened, in order in each channel, at least once. An exception means another try, later the event
  is parked; `TargetError` that what it speaks to is away, `EventRefused` that this event never can be dealt with.
- `send_*`, `link_*` (async) carry out over a bridge's links what has happened in channels, in order in each link, at least once.
- `startup`, `shutdown`, `run`, `health` (async) run in one process at a time, that in which events are handled too.
- `register_*` (plain `def`) are called once in every process, when the plugin has been made; like `__init__` they do no I/O.
"""

from __future__ import annotations

from typing import Any

import pluggy

from crust.events import objects
from crust.plugin.base import PROJECT
from crust.plugin.bridge import (
    Link,
    OutgoingEdit,
    OutgoingMembership,
    OutgoingMessage,
    OutgoingReaction,
    OutgoingRemoval,
    OutgoingTopic,
    OutgoingTyping,
    Sent,
)
from crust.plugin.cli import Cli
from crust.plugin.commands import Commands
from crust.plugin.drafts import DeleteDraft, EditDraft, JoinDraft, MessageDraft, Reject, SignInDraft, UploadDraft
from crust.plugin.happened import Happened
from crust.plugin.jobs import Jobs
from crust.plugin.routes import Routes

hookspec = pluggy.HookspecMarker(PROJECT)


class Filters:
    """Before it happens."""

    @hookspec
    async def filter_message_post(self, draft: MessageDraft) -> MessageDraft | Reject | None:
        """A message is to be posted, with or without a file. May change `contents`."""

    @hookspec
    async def filter_message_edit(self, draft: EditDraft) -> EditDraft | Reject | None:
        """A message is to be changed. May change `contents`."""

    @hookspec
    async def filter_message_delete(self, draft: DeleteDraft) -> Reject | None:
        """A message is to be removed by somebody; what retention removes is not asked about."""

    @hookspec
    async def filter_upload(self, draft: UploadDraft) -> Reject | None:
        """A file is to be put on a message."""

    @hookspec
    async def filter_channel_join(self, draft: JoinDraft) -> Reject | None:
        """Somebody is to join a public channel by themselves."""

    @hookspec
    async def filter_sign_in(self, draft: SignInDraft) -> Reject | None:
        """Somebody is to sign in with a right password. Takes the capability sign-in:filter; organisations do not matter here."""


class Events:
    """After it has happened. What the instance's own bot did is left out."""

    @hookspec
    async def on_message_posted(self, event: Happened[objects.Message]) -> None:
        """Something was said, or a channel tells what happened to it (its `type` says which)."""

    @hookspec
    async def on_message_edited(self, event: Happened[objects.MessageEdited]) -> None:
        """A message says something else now, bears more files, or is shown with the preview of a link: see `changed`."""

    @hookspec
    async def on_message_removed(self, event: Happened[objects.MessageRemoved]) -> None:
        """A message was taken away."""

    @hookspec
    async def on_file_uploaded(self, event: Happened[objects.Message]) -> None:
        """A message bears new files, from its beginning or since now."""

    @hookspec
    async def on_reaction_added(self, event: Happened[objects.Reacted]) -> None:
        """Somebody put an emoji on a message."""

    @hookspec
    async def on_reaction_removed(self, event: Happened[objects.Reacted]) -> None:
        """Somebody took their emoji away."""

    @hookspec
    async def on_channel_created(self, event: Happened[objects.Channel]) -> None:
        """There is a new channel."""

    @hookspec
    async def on_channel_edited(self, event: Happened[objects.ChannelEdited]) -> None:
        """It has another name, topic or type."""

    @hookspec
    async def on_channel_archived(self, event: Happened[objects.ChannelEdited]) -> None:
        """It can be read, and changed no more."""

    @hookspec
    async def on_channel_unarchived(self, event: Happened[objects.ChannelEdited]) -> None:
        """It is in use again."""

    @hookspec
    async def on_channel_removed(self, event: Happened[objects.Removed]) -> None:
        """It is gone."""

    @hookspec
    async def on_channel_moved(self, event: Happened[objects.ChannelEdited]) -> None:
        """It belongs to another team or organisation."""

    @hookspec
    async def on_channel_merged(self, event: Happened[objects.ChannelMerged]) -> None:
        """Another channel has become part of it."""

    @hookspec
    async def on_channel_shared(self, event: Happened[objects.ChannelEdited]) -> None:
        """It belongs to one more team."""

    @hookspec
    async def on_channel_unshared(self, event: Happened[objects.ChannelEdited]) -> None:
        """It belongs to one team less."""

    @hookspec
    async def on_channel_linked(self, event: Happened[objects.ChannelLinked]) -> None:
        """It was linked with a room elsewhere, or such a link is another now."""

    @hookspec
    async def on_channel_unlinked(self, event: Happened[objects.ChannelLinked]) -> None:
        """Such a link has ended."""

    @hookspec
    async def on_member_joined(self, event: Happened[objects.Member]) -> None:
        """Somebody came into a channel, or (without `channel_id`) into an organisation."""

    @hookspec
    async def on_member_parted(self, event: Happened[objects.Member]) -> None:
        """Somebody left, or was removed."""

    @hookspec
    async def on_member_role(self, event: Happened[objects.Member]) -> None:
        """Somebody has another role."""

    @hookspec
    async def on_user_created(self, event: Happened[objects.User]) -> None:
        """There is a new account."""

    @hookspec
    async def on_user_edited(self, event: Happened[objects.User]) -> None:
        """Somebody has another name or picture."""

    @hookspec
    async def on_user_suspended(self, event: Happened[objects.User]) -> None:
        """Somebody may not sign in any more."""

    @hookspec
    async def on_event(self, event: Happened[Any]) -> None:
        """Anything that the instance may see, pins, teams and organisations included; after the hook that is made for it."""


class Outward:
    """What a bridge carries out over its links; in order in each link. For classes that derive from `Bridge`.

    What a link's crossings call `native` is asked for here. What they call `fallback` is asked for, too, if it is implemented; else the
    host says it in words by `send_message`. Errors mean what they mean in `on_*`, and a link that waits holds back only itself.
    """

    @hookspec
    async def send_message(self, out: OutgoingMessage) -> Sent | None:
        """Something was said in a linked channel: say it in the room."""

    @hookspec
    async def send_edit(self, out: OutgoingEdit) -> Sent | None:
        """A message that went out says something else now."""

    @hookspec
    async def send_removal(self, out: OutgoingRemoval) -> Sent | None:
        """A message that went out, may have gone out (`out.target.key`), or came in, was taken away."""

    @hookspec
    async def send_reaction(self, out: OutgoingReaction) -> Sent | None:
        """An emoji was put on a message, or taken away."""

    @hookspec
    async def send_membership(self, out: OutgoingMembership) -> Sent | None:
        """Somebody came into the channel, or left it. Only over links that joins cross."""

    @hookspec
    async def send_topic(self, out: OutgoingTopic) -> Sent | None:
        """The channel has another topic. Only over links that topics cross."""

    @hookspec
    async def send_typing(self, out: OutgoingTyping) -> None:
        """Somebody is typing, or has stopped. A hint: in no order, never repeated, dropped after 5 s, and its errors change nothing."""

    @hookspec
    async def link_opened(self, link: Link) -> None:
        """There is a new link, or it is another now: be in its room. Links that there are already: `ctx.bridge.links()`."""

    @hookspec
    async def link_closed(self, link: Link) -> None:
        """A link has ended: leave its room."""


class Life:
    """Supervised: one process at a time; what ends or raises is started again after a while, and given up after the fifth crash."""

    @hookspec
    async def startup(self) -> None:
        """Before the first event is handled. `TargetError`: what it needs is away; it is tried again."""

    @hookspec
    async def shutdown(self) -> None:
        """After the last event, within some seconds."""

    @hookspec
    async def run(self) -> None:
        """Work beside the handlers, for ever: a connection, say. That it ends counts as a crash."""

    @hookspec
    async def health(self) -> str | None:
        """Asked every 30 s: None, or in one sentence what is not as it should be, which operators are shown."""


class Registration:
    """What an instance offers, beside hearing and judging. Each is called once, right after `__init__`."""

    @hookspec
    def register_commands(self, commands: Commands) -> None:
        """Slash commands: `commands.add("remind", self.remind, help="…")`."""

    @hookspec
    def register_routes(self, routes: Routes) -> None:
        """HTTP under `/plugins/<instance>`, or the class's `prefix`: `routes.add("POST", "/{hook}", self.receive, auth="public")`."""

    @hookspec
    def register_jobs(self, jobs: Jobs) -> None:
        """What is done at set times: `jobs.add("digest", self.digest, cron="0 8 * * *")`."""

    @hookspec
    def register_cli(self, cli: Cli) -> None:
        """Subcommands of `crust plugins run <instance>`: `cli.add("purge", self.purge, help="…")`."""


SPECS = (Filters, Events, Outward, Life, Registration)
"""All of them."""
