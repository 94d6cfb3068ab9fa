"""What stands in deploy/ fits together, and fits Crust."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

from crust.settings import load
from crust.telemetry import Metrics
from crust.telemetry.exposition import Exposition

DEPLOY = Path(__file__).parents[2] / "deploy"
VARIABLE = re.compile(r"\$\{(\w+)(?::-(.*?))?(?::\?.*?)?\}")


def compose() -> dict[str, Any]:
    """The compose file with its variables filled in."""
    text = VARIABLE.sub(lambda match: match[2] or "secret", (DEPLOY / "compose.yaml").read_text())
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
        assert settings.effective_public_url == f"http://localhost:{services['nginx']['ports'][0].partition(':')[0]}"


def test_nginx_knows_the_nodes() -> None:
    """By the names and the port that the compose file gives them."""
    services = compose()["services"]
    servers = re.findall(r"^ +server (\S+):(\d+) ", (DEPLOY / "nginx.conf").read_text(), re.MULTILINE)
    assert servers == [(name, services[name]["environment"]["CRUST_PORT"]) for name in services if name.startswith("node")]


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
