"""What a server stands on, beside its database: folders, the disk, open files, the port, and what people reach it by. Only looked at."""

from __future__ import annotations

import http.client
import ipaddress
import os
import resource
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from crust.operations.findings import Finding, good, note, wrong
from crust.settings import Settings

FREE_BYTES = 2**30  # on the disk: SQLite's journal may take a tenth of it, and a migration copies
FILES = 4096  # files that a process may open: each socket is one
ANSWER_S = 5.0
READY = b'"status":"ready"'
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # listened on → where to ask


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything that needs no database."""
    yield folder("data folder", settings.data_dir)
    if not settings.files.store:
        yield folder("files' folder", settings.effective_files_dir)
    yield disk(settings.data_dir)
    yield open_files()
    yield port(settings)
    yield public_url(settings)
    yield proxies(settings)


def folder(check: str, path: Path) -> Finding:
    """Whether it can be written to, by nobody else's users."""
    if not path.exists():
        above = existing(path)
        if os.access(above, os.W_OK | os.X_OK):
            return good(check, f"{path} is not there yet, and will be made")
        return wrong(
            check, f"{path} is not there, and cannot be made in {above}", f"make it, for the user that runs crust: mkdir -p {path}"
        )
    if not path.is_dir() or not os.access(path, os.W_OK | os.R_OK | os.X_OK):
        return wrong(check, f"{path} is no folder that can be written to", f"give it to the user that runs crust: chown -R USER {path}")
    if path.stat().st_mode & 0o007:
        return wrong(check, f"{path} is open to every user of this machine", f"chmod -R o-rwx {path}")
    return good(check, f"{path} can be written to, and is not open to others")


def existing(path: Path) -> Path:
    """The lowest folder on the way to it that there is."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())


def disk(path: Path) -> Finding:
    free = shutil.disk_usage(existing(path)).free
    found = f"{free / 2**30:.1f} GiB are free"
    if free < FREE_BYTES:
        return wrong("disk", found, "make room: crust stops taking messages when the disk is full")
    return good("disk", found)


def open_files() -> Finding:
    """A server raises its own limit to what it may at most."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < FILES:
        return note(
            "open files", f"a process may open {most}, and each socket is one", "raise the limit: ulimit -Hn, LimitNOFILE= of systemd"
        )
    return good("open files", f"a process may open {most if most >= 0 else 'any number of them'}")


# ---- the port


def port(settings: Settings) -> Finding:
    """Whether a server answers there, or one could listen."""
    place = f"{settings.host}:{settings.port}"
    if settings.port == 0:
        return good("port", "a free one is taken at each start")
    try:
        status, body = asked(ANYWHERE.get(settings.host, settings.host), settings.port)
    except ConnectionRefusedError:
        return bindable(settings)
    except (OSError, http.client.HTTPException) as error:
        return wrong("port", f"whoever listens on {place} does not answer: {error}", "end it, or choose another port in the settings")
    if status == 200 and READY in body:
        return good("port", f"a server on {place} is ready")
    if status == 503:
        return wrong("port", f"a server on {place} is not ready: {body[:200].decode(errors='replace')}", "look into its log")
    return wrong("port", f"something else listens on {place}", "end it, or choose another port in the settings")


def asked(host: str, number: int) -> tuple[int, bytes]:
    """What /health/ready says there."""
    connection = http.client.HTTPConnection(host, number, timeout=ANSWER_S)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        return answer.status, answer.read(10_000)
    finally:
        connection.close()


def bindable(settings: Settings) -> Finding:
    place = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.create_server((settings.host, settings.port), family=family):
            return good("port", f"{place} is free")
    except OSError as error:
        return wrong("port", f"{place} cannot be listened on: {error.strerror}", "choose another host or port in the settings")


# ---- what people reach it by


def public_url(settings: Settings) -> Finding:
    """Whether what people send is encrypted on its way, and their cookies stay on encrypted ways."""
    url = settings.effective_public_url
    parts = urlsplit(url)
    if parts.scheme == "https":
        if not settings.trusted_proxies:
            fix = "name it in trusted_proxies, and have it send X-Forwarded-Proto"
            return wrong("public address", f"{url}, but no proxy is trusted that could say so: cookies are not marked Secure", fix)
        return good("public address", f"{url}; cookies are marked Secure when the proxy says https")
    if is_loopback(parts.hostname or ""):
        return good("public address", f"{url}, for this machine alone")
    fix = "put a proxy with TLS in front, set public_url to its https address, and trusted_proxies"
    return wrong("public address", f"{url} is not encrypted: passwords and sessions can be read on the way", fix)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def proxies(settings: Settings) -> Finding:
    """Whether only proxies can say where a request comes from."""
    networks = [ipaddress.ip_network(each) for each in settings.trusted_proxies]
    wide = [str(each) for each in networks if each.is_global or each.prefixlen == 0]
    far = [each for each in wide if ipaddress.ip_network(each).num_addresses > 1]
    if far:
        fix = "name the proxies' own addresses"
        return wrong("trusted proxies", f"{', '.join(far)}: anybody there can pretend any address, and that it is encrypted", fix)
    return good("trusted proxies", ", ".join(map(str, networks)) or "none")
