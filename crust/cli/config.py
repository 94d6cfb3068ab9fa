"""`crust config`: what the settings are, and where they come from."""

from __future__ import annotations

from cyclopts import App

from crust.cli.common import Config, Json, print_json, print_table
from crust.settings import explain, load

app = App(name="config", help="Check the settings, or show those in force.")


@app.command
def check(*, config: Config = None) -> None:
    """Say whether the settings can be used; if not, everything that is wrong."""
    load(config)
    print("the settings are good")


@app.command
def show(*, json: Json = False, config: Config = None) -> None:
    """Every setting with where its value comes from; secrets masked."""
    rows = [{"setting": each.path, "value": each.value, "source": each.source} for each in explain(config)]
    if json:
        print_json(rows)
    else:
        print_table(rows, ["setting", "value", "source"])
