"""The reference of plugins, in Markdown, as the specifications themselves have it."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FunctionType

from crust import plugin
from crust.errors import Invalid
from crust.plugin import CAPABILITIES, drafts, hooks
from crust.plugin import bridge as bridges

BEGIN, END = "<!-- begin: crust plugins docs -->", "<!-- end: crust plugins docs -->"
INTERFACES: dict[str, Sequence[type]] = {
    "What a plugin has: `self.ctx`": (
        plugin.Context, plugin.Chat, plugin.Store, plugin.Collection, plugin.Document, plugin.Files, plugin.Http, plugin.Answer,
        plugin.Tasks, plugin.Logger,
    ),
    "What a plugin offers": (
        plugin.Commands, plugin.Invocation, plugin.Caller, plugin.Routes, plugin.HttpRequest, plugin.HttpResponse, plugin.Jobs,
        plugin.JobRun, plugin.Cli,
    ),
    "What handlers are given": (
        plugin.Happened, plugin.Message, plugin.MessageEdited, plugin.MessageRemoved, plugin.Reacted, plugin.Channel, plugin.Member,
        plugin.User, plugin.Attachment, plugin.Preview,
    ),
    "What filters are given, and give": (
        drafts.Asked, plugin.MessageDraft, plugin.EditDraft, plugin.DeleteDraft, plugin.UploadDraft, plugin.JoinDraft, plugin.SignInDraft,
        plugin.Reject,
    ),
    "What a bridge has, and is given": (
        plugin.BridgeHost, plugin.Link, plugin.Crossings, plugin.Remote, plugin.Trust, plugin.Injected, plugin.Outgoing,
        plugin.OutgoingMessage, plugin.OutgoingEdit, plugin.OutgoingRemoval, plugin.OutgoingReaction, plugin.OutgoingMembership,
        plugin.OutgoingTopic, bridges.Author, bridges.Target, plugin.Sent,
    ),
}  # fmt: skip


def reference() -> str:
    """All of it."""
    return "\n".join([*_hooks(), *_capabilities(), *_interfaces()])


def _hooks() -> Iterator[str]:
    yield "### Hooks\n"
    yield (inspect.getdoc(hooks) or "") + "\n"
    for spec in hooks.SPECS:
        yield f"#### {spec.__name__}\n\n{inspect.getdoc(spec)}\n"
        yield "| Hook | Is | Called with | Gives | When |\n|---|---|---|---|---|"
        for name, function in vars(spec).items():
            if isinstance(function, FunctionType):
                yield _row(name, function)
        yield ""


def _row(name: str, function: FunctionType) -> str:
    signature = inspect.signature(function)
    arguments = ", ".join(f"`{each.name}: {each.annotation}`" for each in list(signature.parameters.values())[1:])
    cells = [
        f"`{name}`", "`async def`" if inspect.iscoroutinefunction(function) else "`def`", arguments or "nothing",
        f"`{signature.return_annotation}`", " ".join((inspect.getdoc(function) or "").split()),
    ]  # fmt: skip
    return "| " + " | ".join(cell.replace("objects.", "").replace("|", "\\|") for cell in cells) + " |"


def _capabilities() -> Iterator[str]:
    yield "### Capabilities\n\nA plugin names those that it needs; the core refuses it all others.\n"
    yield "| Capability | The plugin |\n|---|---|"
    for name, meaning in CAPABILITIES.items():
        yield f"| `{name}` | {meaning} |"
    yield ""


def _interfaces() -> Iterator[str]:
    for title, types in INTERFACES.items():
        yield f"### {title}\n\n```python"
        yield "\n\n\n".join(_source(each) for each in types)
        yield "```\n"


def _source(of: type) -> str:
    """A class as it stands, without the places where its code would be."""
    lines = textwrap.dedent(inspect.getsource(of)).splitlines()
    return "\n".join(line for line in lines if line.strip() != "...").strip()


def put_into(path: Path) -> bool:
    """Put the reference between the two marks in a file; gives whether anything changed.

    Raises:
        Invalid: the file has no such marks.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from None
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Invalid(f"{path} has to have the two lines {BEGIN} and {END}, between which the reference is put.")
    new = f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"
    if new != text:
        path.write_text(new)
    return new != text
