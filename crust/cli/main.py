"""`crust`: the command line. Every command parses, calls, prints; the work is elsewhere."""

from __future__ import annotations

import sys

from cyclopts import App

from crust import __version__

app = App(name="crust", help="A team-chat core that other networks plug into.", version=__version__)

# Named as texts, so that only the command that is run is imported: all of them take a second, `crust --help` a quarter of one.
for _name, _place, _help in (
    ("serve", "crust.cli.serve:serve", "Migrate the database, then serve until SIGTERM or SIGINT."),
    ("worker", "crust.cli.worker:worker", "Let plugins handle events in a process of their own, beside servers."),
    ("init", "crust.cli.database:init", "Write a commented config.toml, if there is none, and make the database."),
    ("migrate", "crust.cli.database:migrate", "Bring the database up to date, as serve and all other commands do too."),
    ("config", "crust.cli.config:app", "Check the settings, or show those in force."),
    ("user", "crust.cli.user:app", "Add and list people, give them another password, suspend them, see their sessions."),
    ("token", "crust.cli.token:app", "API tokens for bots and other programs."),
    ("audit", "crust.cli.audit:app", "Who administered the server and its organisations."),
    ("retention", "crust.cli.retention:app", "What is old, by the settings, and its removal."),
    ("events", "crust.cli.events:app", "Look into the event log; describe what RabbitMQ carries of it."),
    ("consumers", "crust.cli.consumers:app", "List who reads the log: offset, lag, and which process does it."),
    ("plugins", "crust.cli.plugins:app", "What plugins there are and how they are: list, show, check, new, restart, run."),
    ("bridges", "crust.cli.bridges:app", "How bridges and their links are; whether one can reach its network."),
    ("delivery", "crust.cli.delivery:app", "What is delivered to plugins and bridges: look, try again now, drop."),
    ("parked", "crust.cli.delivery:parked", "What is tried no more: look, try again."),
    ("broker", "crust.cli.broker:app", "Check what has to be on RabbitMQ, or repair it."),
    ("backup", "crust.cli.backup:backup", "Write the whole server, as it is now, into a folder."),
    ("restore", "crust.cli.backup:restore", "Make the server that a backup is of."),
    ("export", "crust.cli.transfer:export", "Write everything that people share, as JSON Lines."),
    ("import", "crust.cli.transfer:import_", "Take in what was exported."),
    ("doctor", "crust.cli.doctor:doctor", "Say whether everything is as it must be, and what to do where it is not."),
    ("recount", "crust.cli.recount:recount", "Count anew what is stored although it follows from other rows."),
    ("demo", "crust.cli.demo:demo", "Fill an empty server with people, channels and talk."),
    ("torture", "crust.cli.torture:torture", "Do faults of every kind to servers under load, and count what was lost."),
):
    app.command(_place, name=_name, help=_help)


def main() -> None:
    """Run a command; what goes wrong for a reason that people can mend is one line on standard error, and exit status 1."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, and not when Python ends, an error of it can be reported
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the end of the line: a bug is raised again by `report`
        from crust.cli.failure import report

        sys.exit(report(error))


if __name__ == "__main__":
    main()
