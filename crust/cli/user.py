"""`crust user`: accounts, with or without a running server."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from crust.cli.common import Config, Json, PasswordStdin, core, print_json, print_table, read_password

app = App(name="user", help="Add and list people, give them another password.")


@app.command
async def add(
    username: str,
    *,
    email: Annotated[str | None, Parameter(help="Their address; they can sign in with it too.")] = None,
    name: Annotated[str | None, Parameter(help="How others see them; else the username.")] = None,
    admin: Annotated[bool, Parameter(help="Let them administer the server.", negative="")] = False,
    password_stdin: PasswordStdin = False,
    config: Config = None,
) -> None:
    """Add a person to the home organisation."""
    password = read_password(from_stdin=password_stdin)
    async with core(config) as node:
        user = await node.core.accounts.add(username, password=password, email=email, name=name, is_admin=admin)
    print(f"added {user.username}, id {user.id}")


@app.command(name="list")
async def list_(*, json: Json = False, config: Config = None) -> None:
    """Everybody who has an account."""
    async with core(config) as node:
        users = await node.core.accounts.all()
    if json:
        print_json(users)
    else:
        print_table(users, ["id", "username", "name", "email", "is_admin", "suspended_at"])


@app.command
async def password(username: str, *, password_stdin: PasswordStdin = False, config: Config = None) -> None:
    """Give somebody another password; all their sessions end."""
    new = read_password(from_stdin=password_stdin)
    async with core(config) as node:
        await node.core.accounts.set_password(username, new)
    print(f"{username} has a new password; their sessions have ended")
