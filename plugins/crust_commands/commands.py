"""Small commands for everybody: what they do is done by whoever runs them, as far as they themselves may."""

from __future__ import annotations

from crust.plugin import CommandHelp, Commands, Invalid, Invocation, NotFound, Plugin, PluginConfig, Rest, User, hookimpl

SHRUG = r"¯\\\_(ツ)\_/¯"  # as Markdown has it: shown as ¯\_(ツ)_/¯
NOTHING = Rest("")


class SmallCommands(Plugin[PluginConfig]):
    """`/me`, `/shrug`, `/topic`, `/invite` and `/help`."""

    api = 1
    capabilities = frozenset({"read:public", "user:act"})

    @hookimpl
    def register_commands(self, commands: Commands) -> None:
        """Offer them."""
        commands.add("me", self.me, help="Says what you do, in italics.")
        commands.add("shrug", self.shrug, help="Says something, and shrugs.")
        commands.add("topic", self.topic, help="Sets the channel's topic; without one, says what it is.")
        commands.add("invite", self.invite, help="Brings people of the organisation into the channel.")
        commands.add("help", self.help, help="Lists the commands that there are here, or explains one.")

    async def me(self, call: Invocation, what: Rest) -> None:
        """Underscores of the text's own would end the italics."""
        await call.caller.post("_" + " ".join(what.replace("_", r"\_").split()) + "_")

    async def shrug(self, call: Invocation, text: Rest = NOTHING) -> None:
        """The shrug comes last."""
        await call.caller.post(f"{text} {SHRUG}".strip())

    async def topic(self, call: Invocation, topic: Rest = NOTHING) -> str | None:
        """The channel tells everybody of a new one."""
        if topic:
            await call.caller.set_topic(topic)
            return None
        return f"The topic is: {call.channel.topic}" if call.channel.topic else "There is no topic."

    async def invite(self, call: Invocation, who: User, *others: User) -> str:
        """One after the other; who cannot be brought in is named, and the rest come."""
        brought, refused = [], []
        for user in dict.fromkeys((who, *others)):
            try:
                await call.caller.invite(user.id)
                brought.append(f"@{user.username}")
            except (Invalid, NotFound) as error:
                refused.append(f"@{user.username}: {error.message}")
        return "\n".join([*([f"Brought in: {', '.join(brought)}"] if brought else []), *refused])

    async def help(self, call: Invocation, command: str = "") -> str:
        """Of all commands here, whoever's they are."""
        wanted = "/" + command.removeprefix("/").lower()
        found = [each for each in call.available if not command or each.name == wanted or each.name.startswith(f"{wanted} ")]
        if not found:
            raise NotFound(f"There is no command {wanted} here. /help lists those that there are.", field="command")
        return "\n".join(map(explained, found))


def explained(command: CommandHelp) -> str:
    """One line of the list."""
    return f"- `{command.usage}` {command.help}"
