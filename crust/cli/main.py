"""`crust`: the command line. Every command parses, calls, prints; the work is elsewhere."""

from __future__ import annotations

from cyclopts import App

from crust import __version__
from crust.cli import config, database, events, serve, user

app = App(name="crust", help="A team-chat core that other networks plug into.", version=__version__)
app.command(serve.serve)
app.command(database.init)
app.command(database.migrate)
app.command(config.app)
app.command(user.app)
app.command(events.app)


def main() -> None:
    """Run a command; what goes wrong for a reason that people can mend is one line on standard error, and exit status 1."""
    # Imported here, because the settings' library takes a third of a second that `crust --help` need not.
    from crust.cli.failure import reported

    with reported():
        app()


if __name__ == "__main__":
    main()
