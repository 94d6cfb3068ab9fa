"""`crust user`: accounts, with or without a running server."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from crust.cli.common import Config, Json, PasswordStdin, core, print_rows, read_password

app = App(name="user", help="Add and list people, give them another password, suspend them, see their sessions and who they are elsewhere.")


@app.command
async def add(
    username: str,
    *,
    email: Annotated[str | None, Parameter(help="Their address; they can sign in with it too.")] = None,
    name: Annotated[str | None, Parameter(help="How others see them; else the username.")] = None,
    admin: Annotated[bool, Parameter(help="Let them administer the server.", negative="")] = False,
    bot: Annotated[bool, Parameter(help="It is a program: it has no password, and signs in with a token.", negative="")] = False,
    password_stdin: PasswordStdin = False,
    config: Config = None,
) -> None:
    """Add a person, or a bot, to the home organisation."""
    password = None if bot else read_password(from_stdin=password_stdin)
    async with core(config) as node:
        user = await node.core.accounts.add(username, password=password, email=email, name=name, is_admin=admin, bot=bot)
    print(f"added {user.username}, id {user.id}")


@app.command(name="list")
async def list_(*, json: Json = False, config: Config = None) -> None:
    """Everybody who has an account."""
    async with core(config) as node:
        users = await node.core.accounts.all()
    print_rows(users, ["id", "username", "name", "kind", "email", "is_admin", "suspended_at"], json=json)


@app.command
async def password(username: str, *, password_stdin: PasswordStdin = False, config: Config = None) -> None:
    """Give somebody another password; all their sessions end."""
    new = read_password(from_stdin=password_stdin)
    async with core(config) as node:
        await node.core.profiles.set_password(username, new)
    print(f"{username} has a new password; their sessions have ended")


@app.command
async def suspend(username: str, *, config: Config = None) -> None:
    """Let somebody in no more; their sessions end. What they said stays."""
    async with core(config) as node:
        await node.core.profiles.suspend(username)
    print(f"{username} is suspended; their sessions have ended")


@app.command
async def unsuspend(username: str, *, config: Config = None) -> None:
    """Let somebody in again."""
    async with core(config) as node:
        await node.core.profiles.unsuspend(username)
    print(f"{username} may sign in again")


@app.command
async def sessions(username: str, *, json: Json = False, config: Config = None) -> None:
    """Where somebody is signed in."""
    async with core(config) as node:
        found = [msgspec.to_builtins(session) for session in await node.core.profiles.sessions(username)]
    for session in found:
        del session["current"]  # nobody's: no session asks
    print_rows(found, ["id", "client_id", "address", "agent", "created_at", "seen_at", "expires_at", "kind", "name"], json=json)


@app.command
async def identities(
    username: str,
    *,
    end: Annotated[str | None, Parameter(help="Let nobody on this bridge's network speak as them any more.")] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Who somebody is on other networks, as they have proved to the bridges."""
    async with core(config) as node:
        user_id = await node.core.profiles.id_of(username)
        ended = None if end is None else await node.core.ghosts.forget(user_id, end)
        found = await node.core.ghosts.linked_with(user_id)
    if ended is None or json:
        print_rows(found, ["bridge", "remote_user", "name"], json=json)
    else:
        print(f"{ended} of {end} spoke as {username}, and will not any more")
