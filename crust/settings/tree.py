"""The tree of settings: names, types, bounds, defaults and what each means."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

TOKEN = re.compile(r"[\x21-\x7e]{16,256}")
GRANT = re.compile(r"[A-Za-z0-9_-]{1,64} +(\d+|\*)\.(public|private|direct|none|\*)")
ACCOUNT = re.compile(r"[A-Za-z0-9_-]{1,64}")  # on RabbitMQ
LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")  # one part of a DNS name

INSTANCE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9])?")  # the name of a bot user, too
PLUGINS = "plugins"  # the one table of tables
RESERVED = frozenset({"relay", "eraser", "inject", "host"})  # names under which the core itself reads events, and keeps documents


def _dns_name(value: str) -> str:
    name = value.lower()
    labels = name.split(".")
    if len(name) > 253 or labels[-1].isdigit() or not all(LABEL.fullmatch(label) for label in labels):
        raise ValueError("should be a DNS name, such as chat.example.org")
    return name


def _instance_name(value: str) -> str:
    if value in RESERVED:
        raise ValueError(f"the core itself has the name {value}: give the table another one")
    if not INSTANCE.fullmatch(value):
        raise ValueError("should be 1 to 32 small letters, digits, dots, hyphens or underscores, with a letter or digit at both ends")
    return value


def _split(url: str) -> SplitResult:
    """The parts of a URL; empty ones where it is none. (Python's own message would show what may be a password.)"""
    try:
        parts = urlsplit(url)
        _ = parts.port  # whether it is a number is looked at only here
    except ValueError:
        return urlsplit("")
    return parts


def _origin(value: str) -> str:
    parts = _split(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or value != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("should be an origin, such as https://chat.example.org, without a path")
    return value.lower()


def _public_url(value: str) -> str:
    parts = _split(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username):
        raise ValueError("should be an http or https URL, such as https://chat.example.org, or empty")
    return value.rstrip("/")


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError("should be an address or a network, such as 10.0.0.0/8") from None


def _place(value: str) -> str:
    """A network, an address or the name of a host."""
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        name = value.lower().rstrip(".")
        if not all(LABEL.fullmatch(label) for label in name.split(".")) or name.split(".")[-1].isdigit():
            raise ValueError("should be a network, an address or the name of a host, such as 10.1.2.0/24 or ci.internal") from None
        return name


def _database_url(value: str) -> str:
    parts = _split(value)
    sqlite = parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1
    at_host = bool(parts.hostname) or "host=" in parts.query
    postgres = parts.scheme in ("postgres", "postgresql") and at_host and len(parts.path) > 1
    if value and not sqlite and not postgres:
        raise ValueError("should be empty, sqlite:///absolute/path or postgres://user:password@host:port/database")
    return value


def _broker_url(value: str) -> str:
    parts = _split(value)
    if value and (parts.scheme not in ("amqp", "amqps") or not parts.hostname or not parts.username):
        raise ValueError("should be empty or amqp://user:password@host:port/vhost (amqps for TLS)")
    return value


def _grant(value: str) -> str:
    if not GRANT.fullmatch(value):
        raise ValueError("should be an account, a space, an organisation's id or *, a dot, and public, private, direct, none or *")
    return " ".join(value.split())


def _inject(value: str) -> str:
    account, _, instance = value.partition(" ")
    if not ACCOUNT.fullmatch(account) or not INSTANCE.fullmatch(instance.strip()):
        raise ValueError("should be an account, a space, and the name of a bridge's instance")
    return f"{account} {instance.strip()}"


def _store(value: str) -> str:
    parts = _split(value)
    if value and (parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment):
        raise ValueError("should be empty or s3://bucket/prefix")
    return value


def _endpoint(value: str) -> str:
    parts = _split(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username):
        raise ValueError("should be empty or an http or https URL, such as https://s3.example.org")
    return value.rstrip("/")


def _token(value: str) -> str:
    if value and not TOKEN.fullmatch(value):
        raise ValueError("should be empty, or 16 to 256 printable characters without spaces")
    return value


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 366, allow_inf_nan=False)]
Listed = BeforeValidator(_listed)


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Organisations(Section):
    """Organisations."""

    home_name: str = Field(
        default="Home", min_length=1, max_length=100, description="Name of the organisation that an empty server starts with"
    )
    open: bool = Field(default=False, description="Whether everybody may make organisations, not administrators alone")
    invitation_days: int = Field(default=7, ge=1, le=365, description="Days for which a link that invites people holds")


class Sessions(Section):
    """Sessions: how long people stay signed in."""

    idle_days: Positive = Field(default=30, description="Days without use after which a session ends")
    absolute_days: Positive = Field(default=180, description="Days after which a session ends, used or not")


class Passwords(Section):
    """Passwords, and how they are hashed (argon2id)."""

    min_length: int = Field(default=8, ge=1, le=256, description="Fewest characters of a new password")
    time_cost: int = Field(default=3, ge=1, le=100, description="Passes over the memory")
    memory_kib: int = Field(default=65536, ge=8, le=4_194_304, description="Memory that one hash takes, in KiB")
    parallelism: int = Field(default=1, ge=1, le=64, description="Threads that one hash takes")


class Database(Section):
    """How the database is used."""

    pool_size: int = Field(default=5, ge=1, le=1000, description="Most PostgreSQL connections of this process")
    lock_timeout_s: Seconds = Field(default=5.0, description="Seconds that a change waits for the log's lock")
    statement_timeout_s: Seconds = Field(default=5.0, description="Seconds that one statement may take, but in a migration")
    idle_in_transaction_timeout_s: Seconds = Field(
        default=4.0,
        description="Seconds after which PostgreSQL ends a transaction that says nothing; below lock_timeout_s, so that a node"
        " that waits outlives one that froze",
    )
    group_size: int = Field(default=500, ge=1, le=10_000, description="Most changes that are committed together")
    waiting_max: Positive = Field(default=10_000, description="Changes that may wait for the writer; further ones are answered with 503")


class Broker(Section):
    """RabbitMQ, where broker_url names one."""

    queue_type: Literal["classic", "quorum"] = Field(
        default="classic", description="Type of the durable queues: classic on one RabbitMQ node, quorum on three or more"
    )
    queue_length: Positive = Field(
        default=10_000, description="Most messages that wait in the queue of a node; older ones are dropped, and read from the log"
    )
    window: int = Field(default=256, ge=1, le=65_535, description="Most events that are published and not confirmed yet")
    publish_timeout_s: Seconds = Field(
        default=10.0, description="Seconds after which what RabbitMQ has not confirmed is published anew, over another connection"
    )
    connect_timeout_s: Seconds = Field(default=5.0, description="Seconds that connecting, and whatever is declared then, may take")
    retry_max_s: Seconds = Field(default=5.0, description="Longest pause, in seconds, before connecting again")
    management_url: Annotated[str, AfterValidator(_public_url)] = Field(
        default="",
        description="Where the management API listens, for crust broker check and repair; empty: http (https for amqps), the host of"
        " broker_url, and its port and 10000",
    )
    grants: Annotated[list[Annotated[str, AfterValidator(_grant)]], Listed] = Field(
        default=[],
        description='What programs with an account of their own may read of crust.v1.events, such as "reports 17.public" or'
        ' "audit *.*"; crust broker repair tells RabbitMQ',
    )
    injects: Annotated[list[Annotated[str, AfterValidator(_inject)]], Listed] = Field(
        default=[],
        description="Which programs with an account of their own may say something by crust.v1.inject, and as which bridge, such as"
        ' "gateway irc-libera"; crust broker repair tells RabbitMQ',
    )


class Delivery(Section):
    """Delivery of events to plugins and bridges. A lane is one target, such as a room, a recipient or an endpoint; in it order holds."""

    lanes: int = Field(default=32, ge=1, le=1000, description="Lanes of one instance that are at work side by side")
    handler_s: Seconds = Field(default=60.0, description="Seconds that one attempt may take; then it counts as an error of the plugin")
    blocked_s: Seconds = Field(
        default=120.0,
        description="Seconds for which a handler may keep the process from doing anything else; then the process ends, so that whoever"
        " watches over it starts it anew, and the event at fault is tried alone",
    )
    give_up_s: Seconds = Field(default=432_000.0, description="Seconds of nothing but failures after which a lane is parked")
    catch_up_max_s: Seconds = Field(
        default=86_400.0, description="Longest time, in seconds, that an instance was away and then still catches up on"
    )
    keep_days: Positive = Field(default=30, description="Days for which it is kept what was delivered")
    document_bytes: int = Field(default=1_048_576, ge=1024, description="Largest document that a plugin may keep, in bytes")


class Hosting(Section):
    """What plugins are asked for, beside events: how long it may take."""

    command_s: Seconds = Field(default=10.0, description="Seconds that a slash command may take")
    route_s: Seconds = Field(default=30.0, description="Seconds that a plugin may take to answer a request over HTTP")
    job_s: Seconds = Field(default=600.0, description="Seconds that one run of a job may take")
    answers_s: Seconds = Field(
        default=86_400.0, description="Seconds for which a command's answer is kept, for whoever sends the same request again"
    )


class Egress(Section):
    """Requests that plugins and bridges send over HTTP: they reach public addresses, and what is allowed here beside."""

    allow: Annotated[list[Annotated[str, AfterValidator(_place)]], Listed] = Field(
        default=[],
        description="Networks, addresses and names of hosts that may be reached although they are not public, such as 10.1.2.0/24"
        " or ci.internal",
    )


class Limits(Section):
    """Limits on what one session, or one address, may ask. Each rate is a token bucket."""

    enabled: bool = Field(default=True, description="Whether rates are limited at all; false is for load tests")
    messages_per_second: Positive = Field(default=10, description="Messages a second and session, in the long run")
    messages_burst: Positive = Field(default=100, description="Messages at once")
    writes_per_second: Positive = Field(default=20, description="Other changes a second and session, in the long run")
    writes_burst: Positive = Field(default=200, description="Other changes at once")
    reads_per_second: Positive = Field(default=50, description="Reads a second and session, in the long run")
    reads_burst: Positive = Field(default=500, description="Reads at once")
    uploads_per_minute: Positive = Field(default=30, description="Uploads a minute and session")
    sockets_per_minute: Positive = Field(default=300, description="Websockets a minute and address")
    login_failures: Positive = Field(default=5, description="Failed logins in login_window_s, per account and address, before a delay")
    login_window_s: Seconds = Field(default=900.0, description="Seconds in which failed logins are counted")
    login_delay_max_s: Seconds = Field(default=900.0, description="Longest delay, in seconds, that failed logins bring upon an account")
    body_bytes: int = Field(default=1_048_576, ge=1024, description="Largest request body, in bytes; uploads have a limit of their own")
    contents_characters: Positive = Field(default=16_000, description="Longest message, in characters")


class Retention(Section):
    """Retention: what is removed because it is old. Zero keeps it for ever."""

    messages_days: int = Field(default=0, ge=0, le=36_500, description="Days after which messages are removed, files included")
    events_days: int = Field(
        default=0, ge=0, le=36_500, description="Days after which the log forgets; clients that were away for longer start afresh"
    )
    audit_days: int = Field(default=0, ge=0, le=36_500, description="Days after which the record of administrative acts is removed")
    every_s: Seconds = Field(default=3600.0, description="Seconds between two looks for what is old")


class PublicLinks(Section):
    """Links that bridges give to those who have no account here: to the whole of a long message, to a file."""

    days: int = Field(default=90, ge=1, le=3650, description="Days for which a link holds; one to what was removed holds no more")


class Files(Section):
    """Files that people send. They are kept in files_dir, or in a bucket of any server that speaks S3 (with the extra s3)."""

    upload_bytes: Positive = Field(default=104_857_600, description="Largest file, in bytes")
    upload_idle_s: Seconds = Field(default=30.0, description="Seconds without a byte after which an upload is given up")
    upload_bytes_per_second: Positive = Field(
        default=1024, description="Slowest upload, in the long run; the first http.body_s seconds do not count"
    )
    store: Annotated[str, AfterValidator(_store)] = Field(
        default="", description="s3://bucket/prefix, or empty: files_dir, which is where files are received in either case"
    )
    endpoint: Annotated[str, AfterValidator(_endpoint)] = Field(
        default="", description="The server, such as https://s3.example.org; empty: Amazon's, or AWS_ENDPOINT_URL"
    )
    region: str = Field(default="", description="The bucket's region; empty: AWS_REGION")
    access_key_id: str = Field(default="", repr=False, description="Empty: AWS_ACCESS_KEY_ID")
    secret_access_key: str = Field(default="", repr=False, description="Empty: AWS_SECRET_ACCESS_KEY")
    sweep_s: Seconds = Field(default=3600.0, description="Seconds between two searches for bytes that belong to no message")
    orphan_s: Seconds = Field(
        default=3600.0,
        description="Seconds that such bytes are left alone: far longer than upload_idle_s, and than an upload takes to become a message",
    )


class Http(Section):
    """HTTP connections: how long a slow client may hold one."""

    idle_s: Seconds = Field(default=30.0, description="Seconds that a connection may be idle, or take for the head of a request")
    body_s: Seconds = Field(default=60.0, description="Seconds that the body of a request may take")
    answer_s: Seconds = Field(default=60.0, description="Seconds that a client may take to read an answer")


class Websocket(Section):
    """Websockets."""

    ping_interval_s: Seconds = Field(default=30.0, description="Seconds between pings")
    silence_s: Seconds = Field(default=75.0, description="Seconds of silence after which a connection is closed")
    login_timeout_s: Seconds = Field(default=10.0, description="Seconds that a client has to sign in")
    queue_frames: Positive = Field(default=256, description="Frames that may wait for one client; more close it, to be resumed")
    queue_bytes: int = Field(default=1_048_576, ge=1024, description="Bytes that may wait for one client")
    frame_bytes: int = Field(default=262_144, ge=1024, description="Largest frame that a client may send, in bytes")
    in_flight: Positive = Field(default=32, description="Requests of one connection that may be under way")
    unusable_frames: Positive = Field(default=20, description="Unusable frames in a row that close a connection")
    backlog_messages: int = Field(default=50, ge=0, le=200, description="Messages of each channel on a fresh connection")
    channels_with_messages: int = Field(default=20, ge=0, description="Most recent channels that bear messages on a fresh connection")
    members_shown: Positive = Field(default=100, description="Most members listed in a channel frame")
    replay_events: int = Field(default=2000, ge=0, description="Most events sent on a resume; more make it a fresh start")
    replay_positions: int = Field(default=100_000, ge=0, description="Most positions that a resume may go back")
    connections_per_user: Positive = Field(default=50, description="Connections that one person may have")
    crowd: int = Field(
        default=200,
        ge=0,
        description="Connected members of a channel above which nobody in it is told who types, or who comes and goes",
    )
    send_timeout_s: Seconds = Field(default=30.0, description="Seconds that a client may take for one frame")
    deflate: bool = Field(default=False, description="Whether permessage-deflate is offered; it costs memory and time per connection")


class Metrics(Section):
    """What the process counts: GET /metrics, in Prometheus' text format, for who is on this machine or has the token."""

    token: Annotated[str, AfterValidator(_token)] = Field(
        default="",
        repr=False,
        description="What others have to send, as Authorization: Bearer …; 16 characters or more. Empty: nobody but this machine",
    )


class PluginLink(Section):
    """A room elsewhere that a bridge links with a channel, for as long as it stands in the settings."""

    channel: str = Field(description="The channel's name or id")
    room: str = Field(description="The room, as its network calls it")
    direction: Literal["both", "in", "out"] = Field(default="both", description="What is carried, as seen from here")
    crosses: list[Literal["files", "joins", "topics"]] = Field(
        default=["files", "joins", "topics"], description="What crosses beside messages"
    )
    relay_format: str = Field(default="", description="How people are named in the room; empty: as the bridge does it")
    trust: Literal["accept", "mark", "refuse"] = Field(
        default="accept", description="What becomes of what a sender is not known to have sent"
    )
    title: str = Field(default="", description="What people are shown in the place of the room's name")


class PluginInstance(Section):
    """A plugin at work, under a name of your choice, as often as you like: small letters, digits, dots, hyphens, underscores."""

    use: str = Field(default="", description="Which plugin, as crust plugins list names them; empty: the one of the table's own name")
    enabled: bool = Field(default=True, description="Whether it is at work")
    organisations: list[str] = Field(
        default=[], description="Names or ids of the organisations that it sees and acts in; empty: the home organisation"
    )
    on_error: Literal["allow", "reject"] = Field(
        default="allow", description="What becomes of messages and the like while it cannot say, as a filter, whether they may pass"
    )
    run_in: Literal["any", "serve", "worker"] = Field(
        default="any", description="Which processes handle its events; filters run wherever messages are posted"
    )
    links: list[PluginLink] = Field(default=[], description="Rooms elsewhere that it links with channels, if it is a bridge")
    config: dict[str, Any] = Field(default={}, description="The plugin's own settings, as crust plugins show describes them")


class Log(Section):
    """What the process tells of itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="The least that is told")
    format: Literal["auto", "console", "json"] = Field(default="auto", description="auto: console on a terminal, else JSON lines")


class Settings(Section):
    """All settings. Made without arguments it holds the defaults, whatever the environment says; `load` reads."""

    server_name: Annotated[str, AfterValidator(_dns_name)] = Field(
        default="localhost", description="This server's DNS name; part of every id that leaves it, so don't change it later"
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        default="", description="Where people's links point, such as https://chat.example.org; empty: made from host and port"
    )
    data_dir: Path = Field(default=Path("./data"), strict=False, description="Folder of what is kept beside the database")
    files_dir: str = Field(
        default="", description="Folder of the files that people send, which all nodes have to share; empty: files below data_dir"
    )
    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        default="",
        repr=False,
        description="sqlite:///absolute/path or postgres://user:password@host:port/database (a unix socket's folder as"
        " ?host=/folder); empty: SQLite in crust.db below data_dir",
    )
    broker_url: Annotated[str, AfterValidator(_broker_url)] = Field(
        default="",
        repr=False,
        description="amqp://user:password@host:port/vhost of a RabbitMQ, by which several nodes over one PostgreSQL work as one and other"
        " programs get all events; empty: this process alone",
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on")
    port: Port = Field(default=8400, description="Port to listen on; 0 takes a free one")
    server: Literal["hypercorn", "uvicorn"] = Field(
        default="hypercorn", description="What serves HTTP and websockets; uvicorn has to be installed with the extra of its name"
    )
    loop: Literal["auto", "asyncio", "uvloop"] = Field(
        default="auto",
        description="The event loop; auto: with uvicorn uvloop, if it is there (an extra), else asyncio's; Hypercorn gains little by it",
    )
    plugins_dir: str = Field(
        default="", description="Folder of Python modules and packages with plugins of your own; empty: only installed ones"
    )
    trusted_proxies: Annotated[list[Annotated[str, AfterValidator(_network)]], Listed] = Field(
        default=[], description="Addresses or networks of proxies whose forwarding headers count"
    )
    allowed_origins: Annotated[list[Annotated[str, AfterValidator(_origin)]], Listed] = Field(
        default=[], description="Further origins whose pages may open a websocket with a cookie, such as https://chat.example.org"
    )
    organisations: Organisations = Field(default_factory=Organisations)
    sessions: Sessions = Field(default_factory=Sessions)
    passwords: Passwords = Field(default_factory=Passwords)
    database: Database = Field(default_factory=Database)
    broker: Broker = Field(default_factory=Broker)
    delivery: Delivery = Field(default_factory=Delivery)
    hosting: Hosting = Field(default_factory=Hosting)
    egress: Egress = Field(default_factory=Egress)
    limits: Limits = Field(default_factory=Limits)
    files: Files = Field(default_factory=Files)
    retention: Retention = Field(default_factory=Retention)
    public_links: PublicLinks = Field(default_factory=PublicLinks)
    http: Http = Field(default_factory=Http)
    websocket: Websocket = Field(default_factory=Websocket)
    log: Log = Field(default_factory=Log)
    metrics: Metrics = Field(default_factory=Metrics)
    plugins: dict[Annotated[str, AfterValidator(_instance_name)], PluginInstance] = Field(default={}, repr=False)

    @property
    def effective_public_url(self) -> str:
        """`public_url`, or what host and port make of it; without a slash at its end."""
        if self.public_url:
            return self.public_url
        host = self.server_name if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - asked about, not bound to
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def effective_files_dir(self) -> Path:
        """`files_dir`, or what `data_dir` makes of it."""
        return Path(self.files_dir) if self.files_dir else self.data_dir / "files"

    @property
    def sqlite_path(self) -> Path | None:
        """The SQLite file; None with PostgreSQL."""
        if not self.database_url:
            return self.data_dir / "crust.db"
        parts = urlsplit(self.database_url)
        return Path(parts.path) if parts.scheme == "sqlite" else None


def section_of(field: FieldInfo) -> type[Section] | None:
    """The table that the field stands for; None where it is a setting itself."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def leaves(model: type[Section] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting, by its TOML path; those of plugins, which have names of their own, aside."""
    for name, field in model.model_fields.items():
        if name == PLUGINS:
            continue
        section = section_of(field)
        yield from leaves(section, f"{name}.") if section else [(prefix + name, field)]
