"""Settings: what is read, what wins, what is refused and how that is said."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from crust.settings import Settings, SettingsError, example_toml, explain, load

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
COMMENTED_OUT = re.compile(r"^#(?=[a-z_]+ = )", re.MULTILINE)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working directory and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CRUST_")]:
        monkeypatch.delenv(name)


INSTANCE = "should be 1 to 32 small letters, digits, dots, hyphens or underscores, with a letter or digit at both ends"


def written(text: str, name: str = "config.toml") -> Path:
    path = Path(name).absolute()
    path.write_text(text)
    return path


def problems(text: str = "", **options: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(written(text), **options)
    return caught.value.problems


def test_example_is_generated() -> None:
    """config.example.toml is what the tree renders, so it can't fall behind it."""
    assert EXAMPLE.read_text() == example_toml(), "run: python -c 'from crust.settings import *; print(example_toml(), end=\"\")'"


def test_example_uncommented_gives_the_defaults() -> None:
    """The example shows every setting, each with its default."""
    text = COMMENTED_OUT.sub("", example_toml())
    assert load(written(text)) == Settings()
    shown = tomllib.loads(text)
    paths = {f"{key}.{inner}" for key, value in shown.items() if isinstance(value, dict) for inner in value}
    paths |= {key for key, value in shown.items() if not isinstance(value, dict)}
    assert paths == {entry.path for entry in explain()}


def test_every_setting_is_described() -> None:
    """Each setting in the example stands below a comment."""
    lines = example_toml().splitlines()
    assert all(above.startswith("# ") for above, line in pairwise(lines) if COMMENTED_OUT.match(line))


def test_defaults_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Settings()` is the defaults; only `load` reads."""
    monkeypatch.setenv("CRUST_PORT", "9000")
    assert Settings().port == 8400
    assert load().port == 9000


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Wrong keys, types and bounds are refused together, each by its TOML path with what was expected."""
    found = problems(
        'prot = 1\nport = "8400"\nserver_name = "-x"\ntrusted_proxies = ["10.0.0.0/8", "nine"]\ndata_dir = 3\n'
        '[limits]\nmessages_burst = 0\nenabled = "yes"\n[log]\nlevel = "loud"\n[journal]\nlevel = 1\n'
    )
    assert sorted(found) == [
        "data_dir: should be a path, but is 3",
        "journal: no such setting",
        "limits.enabled: should be a valid boolean, but is 'yes'",
        "limits.messages_burst: should be greater than or equal to 1, but is 0",
        "log.level: should be 'debug', 'info', 'warning' or 'error', but is 'loud'",
        "port: should be a valid integer, but is '8400'",
        "prot: no such setting; is port meant?",
        "server_name: should be a DNS name, such as chat.example.org, but is '-x'",
        "trusted_proxies[1]: should be an address or a network, such as 10.0.0.0/8, but is 'nine'",
    ]


def test_wrong_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong in the environment is refused by the variable's name, together with what is wrong elsewhere."""
    for name, text in {
        "CRUST_PORT": "many",
        "CRUST_LIMITS__READS_BURST": "-1",
        "CRUST_LIMITS__READS_BRUST": "1",
        "CRUST_DATABSE_URL": "postgres://u:hidden@h/d",
        "CRUST_PORT__NUMBER": "1",
        "CRUST_ALLOWED_ORIGINS": "https://a.example, nine",
    }.items():
        monkeypatch.setenv(name, text)
    found = problems("host = 1", port=70_000)
    assert {problem.partition(":")[0] for problem in found} == {
        "host",
        "CRUST_PORT",
        "CRUST_LIMITS__READS_BURST",
        "CRUST_LIMITS__READS_BRUST",
        "CRUST_DATABSE_URL",
        "CRUST_PORT__NUMBER",
        "CRUST_ALLOWED_ORIGINS",
        "--port",
    }
    assert "CRUST_DATABSE_URL: no such setting; is database_url meant?" in found


def test_a_variable_is_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section can't be given as one variable."""
    monkeypatch.setenv("CRUST_LIMITS", "{}")
    assert problems() == ["CRUST_LIMITS: should be a table, but is '{}'"]


def test_variables_that_are_no_settings_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`CRUST_CONFIG` and what the tests use are no settings."""
    monkeypatch.setenv("CRUST_CONFIG", str(written("port = 81", "other.toml")))
    monkeypatch.setenv("CRUST_TEST_REQUIRE", "postgres")
    assert load().port == 81


def test_what_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option wins over the environment, that over the file, that over the default; and each setting tells where it came from."""
    config = written('port = 1\nhost = "10.0.0.1"\n[limits]\nreads_burst = 1\nwrites_burst = 2\n')
    for name, text in {"CRUST_PORT": "2", "CRUST_LIMITS__READS_BURST": "3", "CRUST_LOG__LEVEL": "debug"}.items():
        monkeypatch.setenv(name, text)
    settings = load(config, port=3, host=None)
    assert (settings.port, settings.host, settings.limits.reads_burst, settings.limits.writes_burst) == (3, "10.0.0.1", 3, 2)
    sources = {entry.path: entry.source for entry in explain(config, port=3) if entry.source != "default"}
    assert sources == {
        "port": "option",
        "host": "file",
        "limits.reads_burst": "environment",
        "limits.writes_burst": "file",
        "log.level": "environment",
    }


def test_what_is_explained_can_be_written_down() -> None:
    """The values in force are plain data: `config show --json` prints them as they are."""
    assert json.loads(json.dumps([entry.value for entry in explain()]))[:3] == ["localhost", "", "data"]


def test_text_in_the_environment_becomes_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable's text is read as the setting's type: numbers, truth values, paths, lists separated by commas."""
    for name, text in {
        "CRUST_DATA_DIR": "/srv/crust",
        "CRUST_LIMITS__ENABLED": "off",
        "CRUST_DATABASE__LOCK_TIMEOUT_S": "4.5",
        "CRUST_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8",
        "CRUST_PUBLIC_URL": "",
    }.items():
        monkeypatch.setenv(name, text)
    settings = load()
    assert settings.data_dir == Path("/srv/crust")
    assert settings.limits.enabled is False
    assert settings.database.lock_timeout_s == 4.5
    assert settings.trusted_proxies == ["127.0.0.1/32", "10.0.0.0/8"]


def test_where_the_file_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The named file, else `CRUST_CONFIG`, else ./config.toml if it is there; a named one must be there."""
    assert load().port == 8400
    written("port = 1")
    named, other = written("port = 2", "named.toml"), written("port = 3", "other.toml")
    assert load().port == 1
    monkeypatch.setenv("CRUST_CONFIG", str(other))
    assert load().port == 3
    assert load(named).port == 2
    with pytest.raises(SettingsError, match=r"missing\.toml: No such file"):
        load(Path("missing.toml"))


@pytest.mark.parametrize("text", ["port = \n", "port = 1\nport = 2\n"])
def test_a_file_that_is_no_toml(text: str) -> None:
    """A file that can't be read as TOML is refused by its name, with the place."""
    assert re.search(r"config\.toml: .+line \d", problems(text)[0])


def test_settings_that_contradict_each_other() -> None:
    """What is wrong only taken together is refused too."""
    found = problems("[database]\nlock_timeout_s = 4.0\n[websocket]\nsilence_s = 5\n[passwords]\nmemory_kib = 8\nparallelism = 2\n")
    assert [problem.partition(":")[0] for problem in found] == [
        "database.idle_in_transaction_timeout_s",
        "websocket.ping_interval_s",
        "passwords.memory_kib",
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://ana:hidden@db.example:5433/crust", "postgres://ana:***@db.example:5433/crust"),
        ("postgresql://ana:hid@den@db.example/crust", "postgresql://ana:***@db.example/crust"),
        ("postgres:///crust?host=/run/postgresql&password=hidden", "postgres:///crust?host=/run/postgresql&password=***"),
        ("sqlite:///srv/crust.db", "sqlite:///srv/crust.db"),
    ],
)
def test_database_urls(url: str, shown: str) -> None:
    """SQLite and PostgreSQL are taken, unix sockets too; the password is never shown."""
    config = written(f"database_url = '{url}'")
    settings = load(config)
    assert settings.database_url == url
    assert next(entry.value for entry in explain(config) if entry.path == "database_url") == shown
    assert "hid" not in repr(settings)


@pytest.mark.parametrize(
    "url",
    ["mysql://u:hidden@h/d", "postgres://u:hidden@h", "postgres:///d", "postgres://u:hid/den@h/d", "sqlite://hidden.db", "hidden"],
)
def test_other_databases_are_refused(url: str) -> None:
    """Any other URL is refused, and the message doesn't show it: it may hold a password."""
    [found] = problems(f"database_url = '{url}'")
    assert found.startswith("database_url: should be empty, sqlite:///absolute/path or postgres://")
    assert "hid" not in found


def test_broker_urls() -> None:
    """amqp and amqps are taken; the password is shown nowhere, not even where the URL is refused."""
    url = "amqps://ana:hid@den@mq.example:5671/crust"
    config = written(f"broker_url = '{url}'\n[broker]\ngrants = ['reports   17.public', 'audit *.*']")
    settings = load(config)
    assert (settings.broker_url, settings.broker.grants) == (url, ["reports 17.public", "audit *.*"])
    assert next(entry.value for entry in explain(config) if entry.path == "broker_url") == "amqps://ana:***@mq.example:5671/crust"
    assert "hid" not in repr(settings)
    for wrong in ("http://u:hidden@h/", "amqp://h/", "amqp:///v", "hidden", "amqp://u:hidden@h:port/"):
        [found] = problems(f"broker_url = '{wrong}'")
        assert found == "broker_url: should be empty or amqp://user:password@host:port/vhost (amqps for TLS)"
    for wrong in ("reports", "reports 17", "reports 17.secret", "a.b 17.public", "reports x.public"):
        [found] = problems(f"[broker]\ngrants = ['{wrong}']")
        assert found.startswith("broker.grants[0]: should be an account, a space, an organisation's id or *")


def test_the_metrics_token() -> None:
    """It is long, or empty; and it is shown nowhere, not even where it is refused."""
    config = written("[metrics]\ntoken = 'hidden-hidden-hidden'")
    settings = load(config)
    assert settings.metrics.token == "hidden-hidden-hidden"
    assert next(entry.value for entry in explain(config) if entry.path == "metrics.token") == "***"
    assert "hid" not in repr(settings)
    for wrong in ("hidden", "hidden hidden hidden", "hidden-hidden-hiddeж"):
        assert problems(f"[metrics]\ntoken = '{wrong}'") == [
            "metrics.token: should be empty, or 16 to 256 printable characters without spaces"
        ]


def test_the_sqlite_file() -> None:
    """Without a database URL it is crust.db below the data directory; with PostgreSQL there is none."""
    assert Settings(data_dir=Path("/srv")).sqlite_path == Path("/srv/crust.db")
    assert Settings(database_url="sqlite:///var/chat.db").sqlite_path == Path("/var/chat.db")
    assert Settings(database_url="postgres://h/d").sqlite_path is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"public_url": "https://chat.example.org/"}, "https://chat.example.org"),
        ({}, "http://127.0.0.1:8400"),
        ({"host": "::1", "port": 80}, "http://[::1]:80"),
        ({"host": "::", "server_name": "Chat.Example.org"}, "http://chat.example.org:8400"),
    ],
)
def test_the_public_url(given: dict[str, object], expected: str) -> None:
    """Where links point: what is set, else what host and port make of it."""
    assert Settings.model_validate(given).effective_public_url == expected


@pytest.mark.parametrize("url", ["ftp://a", "chat.example.org", "https://a?b", "https://user@a", "https://a:port"])
def test_public_urls_that_are_none(url: str) -> None:
    """Only an http or https URL will do, without query or user."""
    assert problems(f"public_url = '{url}'") == [
        f"public_url: should be an http or https URL, such as https://chat.example.org, or empty, but is '{url}'"
    ]


def test_importing_settings_is_cheap() -> None:
    """pydantic-settings, which takes its time, is imported only once settings are read."""
    code = "import sys, crust.settings; sys.exit('pydantic_settings' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=EXAMPLE.parent, check=True, timeout=30)


def test_plugins_have_tables_of_their_own_names() -> None:
    """Each is an instance; what is wrong in one is refused by its path, with the nearest right name; their own settings are not shown."""
    settings = load(written('[plugins.welcome]\n[plugins.irc-libera]\nuse = "irc"\n[plugins.irc-libera.config]\nnick = "crust"\n'))
    assert [(name, each.use, each.enabled) for name, each in settings.plugins.items()] == [
        ("welcome", "", True),
        ("irc-libera", "irc", True),
    ]
    assert {each.path: each.value for each in explain() if each.path.startswith("plugins.")} == {
        "plugins.irc-libera.use": "irc",
        "plugins.irc-libera.config.nick": "***",
    }
    assert problems('[plugins.a]\nenable = true\n[plugins."b c"]\n[plugins.relay]\n[plugins.d]\nrun_in = "core"\n') == [
        "plugins.a.enable: no such setting; is plugins.a.enabled meant?",
        f"plugins.b c: {INSTANCE}, but is 'b c'",
        "plugins.relay: the core itself has the name relay: give the table another one, but is 'relay'",
        "plugins.d.run_in: should be 'any', 'serve' or 'worker', but is 'core'",
    ]
