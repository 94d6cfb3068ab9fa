"""What stands in deploy/ fits together, and fits Crust."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

from crust.settings import load
from crust.telemetry import Metrics
from crust.telemetry.exposition import Exposition

DEPLOY = Path(__file__).parents[2] / "deploy"
VARIABLE = re.compile(r"\$\{(\w+)(?::-(.*?))?(?::\?.*?)?\}")
SECRET = "0123456789abcdef"  # what a variable holds that has no default


def compose() -> dict[str, Any]:
    """The compose file with its variables filled in."""
    text = VARIABLE.sub(lambda match: match[2] or SECRET, (DEPLOY / "compose.yaml").read_text())
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_nodes_get_settings_that_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every variable is a setting with a value that it takes; both nodes have the same, and the broker's and database's passwords."""
    monkeypatch.chdir(tmp_path)
    services = compose()["services"]
    for node in ("prepare", "node1", "node2"):
        for name, value in services[node]["environment"].items():
            monkeypatch.setenv(name, value)
        settings = load()
        assert settings.database_url == f"postgres://crust:{services['postgres']['environment']['POSTGRES_PASSWORD']}@postgres/crust"
        assert settings.broker_url == f"amqp://crust:{services['rabbitmq']['environment']['RABBITMQ_DEFAULT_PASS']}@rabbitmq/"
        subnet = compose()["networks"]["default"]["ipam"]["config"][0]["subnet"]
        assert [str(each) for each in settings.trusted_proxies] == [subnet]
        assert settings.metrics.token == SECRET
        assert settings.effective_public_url == f"http://localhost:{services['nginx']['ports'][0].partition(':')[0]}"


def test_nginx_knows_the_nodes() -> None:
    """By the names and the port that the compose file gives them."""
    services = compose()["services"]
    servers = re.findall(r"^ +server (\S+):(\d+) ", (DEPLOY / "nginx.conf").read_text(), re.MULTILINE)
    assert servers == [(name, services[name]["environment"]["CRUST_PORT"]) for name in services if name.startswith("node")]


def test_nginx_finds_the_nodes_where_they_stay() -> None:
    """Each has an address of its own, which nginx knows, and which Docker gives to nobody else."""
    services = compose()["services"]
    nodes = {name: services[name]["networks"]["default"]["ipv4_address"] for name in services if name.startswith("node")}
    assert dict(host.split(":") for host in services["nginx"]["extra_hosts"]) == nodes
    network = compose()["networks"]["default"]["ipam"]["config"][0]
    for address in map(ip_address, nodes.values()):
        assert address in ip_network(network["subnet"])
        assert address not in ip_network(network["ip_range"])


def test_prometheus_may_read_what_the_nodes_count() -> None:
    """It asks each of them, with the token that they are given; and Grafana asks it, for what the dashboard shows."""
    whole, text = compose(), (DEPLOY / "compose.yaml").read_text()
    services = whole["services"]
    (scrape,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    nodes = [f"{name}:{services[name]['environment']['CRUST_PORT']}" for name in services if name.startswith("node")]
    assert [each["targets"] for each in scrape["static_configs"]] == [nodes]
    (secret,) = services["prometheus"]["secrets"]
    assert scrape["authorization"] == {"credentials_file": f"/run/secrets/{secret}"}
    assert f"CRUST_METRICS__TOKEN: ${{{whole['secrets'][secret]['environment']}:-}}" in text
    source, dashboards = (yaml.safe_load(whole["configs"][each["source"]]["content"]) for each in services["grafana"]["configs"])
    assert [each["url"] for each in source["datasources"]] == ["http://prometheus:9090"]
    folder = dashboards["providers"][0]["options"]["path"]
    assert f"./grafana.json:{folder}/crust.json:ro" in services["grafana"]["volumes"]


def test_what_containers_are_given_is_there() -> None:
    """Each file of this folder that is mounted; and whatever has no default is in the .env that is made first."""
    services, text = compose()["services"].values(), (DEPLOY / "compose.yaml").read_text()
    mounted = [volume.partition(":")[0] for service in services for volume in service.get("volumes", ()) if volume.startswith("./")]
    assert [name for name in mounted if not (DEPLOY / name).is_file()] == []
    made = re.findall(r"^#.* for name in ([A-Z_ ]+);", text, re.MULTILINE)[0].split()
    assert {match[1] for match in VARIABLE.finditer(text) if not match[2]} == {*made}


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    """Each of them by its name; and none of ours is shown nowhere."""
    dashboard = (DEPLOY / "grafana.json").read_text()
    ours = {f"{metric.name}{'_total' if type(metric).__name__ == 'Counter' else ''}" for metric in Metrics()}
    there = set(re.findall(r"^# TYPE (\S+)", Exposition(Metrics()).text().decode(), re.MULTILINE)) | ours
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"\b(?:crust|process)_\w+", dashboard)}
    assert shown <= there, shown - there
    assert ours - shown <= {"crust_websocket_frames_in_total", "crust_commit_changes"}
    ids = [panel["id"] for panel in json.loads(dashboard)["panels"]]
    assert len(ids) == len(set(ids))
