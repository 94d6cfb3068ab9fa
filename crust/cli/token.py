"""`crust token`: API tokens for bots and other programs."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from crust.cli.common import Config, Json, core, print_json, print_rows

app = App(name="token", help="API tokens for bots and other programs.")


@app.command
async def create(
    username: str,
    *,
    name: Annotated[str, Parameter(help="What it is for.")] = "",
    client_id: Annotated[str | None, Parameter(help="The Client ID that it is bound to; else a new one.")] = None,
    days: Annotated[int | None, Parameter(help="After how many days it ends; else never.")] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Make a token for somebody, and print it: it is shown this once. It goes as `Authorization: Bearer`."""
    async with core(config) as node:
        token = await node.core.tokens.create(username, name=name, client_id=client_id, days=days)
    if json:
        print_json({"id": str(token.id), "client_id": token.client_id, "token": token.secret})
    else:
        print(token.secret)


@app.command(name="list")
async def list_(*, json: Json = False, config: Config = None) -> None:
    """All tokens, without their secrets, which nobody has but who they were made for."""
    async with core(config) as node:
        found = await node.core.tokens.all()
    print_rows(found, ["id", "username", "name", "client_id", "created_at", "seen_at", "expires_at"], json=json)


@app.command
async def revoke(token_id: int, *, config: Config = None) -> None:
    """End a token, by the id that the list gives; whatever is connected with it is cut off."""
    async with core(config) as node:
        await node.core.tokens.revoke(token_id)
    print(f"token {token_id} is revoked")
