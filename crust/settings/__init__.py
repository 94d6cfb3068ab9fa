"""Settings: a typed tree from one TOML file and `CRUST_*` variables.

    settings = load()                      # ./config.toml if there, and the environment
    settings.limits.messages_burst         # [limits] messages_burst, or CRUST_LIMITS__MESSAGES_BURST

What a command line gives wins over the environment, that over the file, that over the defaults. Whatever is wrong, an unknown key
included, is refused: all of it at once, in one `SettingsError`.
"""

from crust.settings.example import example_toml
from crust.settings.source import Effective, SettingsError, explain, load
from crust.settings.tree import (
    Broker,
    Database,
    Delivery,
    Egress,
    Files,
    Hosting,
    Http,
    Limits,
    Log,
    Metrics,
    Organisations,
    Passwords,
    PluginInstance,
    Retention,
    Section,
    Sessions,
    Settings,
    Websocket,
)

__all__ = [
    "Broker",
    "Database",
    "Delivery",
    "Effective",
    "Egress",
    "Files",
    "Hosting",
    "Http",
    "Limits",
    "Log",
    "Metrics",
    "Organisations",
    "Passwords",
    "PluginInstance",
    "Retention",
    "Section",
    "Sessions",
    "Settings",
    "SettingsError",
    "Websocket",
    "example_toml",
    "explain",
    "load",
]
