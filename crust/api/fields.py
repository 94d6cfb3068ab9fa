"""Parameters that many calls share, each said in one way."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from crust.api.params import Id
from crust.services.names import NAME_MAX

TheOrganisation = Annotated[Id, Meta(description="The organisation.")]
TheTeam = Annotated[Id, Meta(description="The team.")]
TheChannel = Annotated[Id, Meta(description="The channel.")]
TheMessage = Annotated[Id, Meta(description="The message.")]
TheFile = Annotated[Id, Meta(description="The file, by its id among a message's `attachments`.")]
ThePerson = Annotated[Id, Meta(description="The person.")]

AtHome = Annotated[Id | None, Meta(description="The organisation to make it in; left out: one's home organisation.")]
WithinOrganisation = Annotated[Id | None, Meta(description="Only what belongs to this organisation.")]
WithinTeam = Annotated[Id | None, Meta(description="Only what belongs to this team.")]
ReplyTo = Annotated[Id | None, Meta(description="The message that it answers, in the same channel.")]
AlsoArchived = Annotated[bool, Meta(description="Whether archived ones are found too.")]
Invited = Annotated[str, Meta(max_length=200, description="What stands behind `token=` in the link.")]

Query = Annotated[str, Meta(max_length=NAME_MAX, description="What a name, or one of its words, begins with.")]
