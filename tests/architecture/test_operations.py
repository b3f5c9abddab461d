"""The operator's page has what an operator looks for after an alert."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.domain.when_away import WHEN_AWAY
from gateway.settings import SPECS

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "operations.md").read_text("utf-8")
ALERTS = CHECKOUT / "k8s" / "monitoring" / "alerts.yaml"


def part(title: str, level: int = 2) -> str:
    """The text under a heading, up to the next one of its level."""
    found = re.search(rf"^{'#' * level} {title}$(.*?)(?=^#{{2,{level}}} |\Z)", PAGE, re.M | re.S)
    assert found is not None, title
    return found[1]


def test_every_alert_has_its_first_three_steps() -> None:
    """Each alert has a section, each section an alert, and the steps are numbered 1 to 3."""
    rules = set(re.findall(r"^\s*- alert: (\w+)$", ALERTS.read_text("utf-8"), re.M))
    sections = set(re.findall(r"^### (Gateway\w+)$", PAGE, re.M))
    assert sections == rules
    for name in sections:
        steps = re.findall(r"^(\d)\. \S", part(name, level=3), re.M)
        assert steps == ["1", "2", "3"], name


def test_every_secret_has_its_rotation() -> None:
    """Each setting that is a secret is named there, or is in the row of one that is."""
    page = part("Rotating secrets")
    named = set(re.findall(r"GATEWAY_\w+", page)) | {
        # In the same row as a related setting.
        *("GATEWAY_CORE_TOKEN", "GATEWAY_JWT_SECRET", "GATEWAY_ADMIN_PASSWORD_HASH"),
    }
    secrets = {spec.env for spec in SPECS.values() if spec.secret}
    assert secrets <= named


def test_every_dependency_has_its_failure() -> None:
    """Under the names that readiness uses."""
    page = part("When a dependency fails")
    for name in (
        "Core, refusing",
        "OPA, away",
        "Object storage, away",
        "Temporal, refusing",
        "Redis, away",
    ):
        assert f"**{name}" in page
    for code in ("CORE_UNAVAILABLE", "POLICY_UNAVAILABLE", "STORAGE_UNAVAILABLE"):
        assert code in page


def test_what_happens_without_redis_is_what_the_code_says() -> None:
    """Each feature with its mode, in the very words of readiness."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", part("While Redis is away", level=3), re.M)
    assert dict(rows[1:]) == {name: str(how) for name, how in WHEN_AWAY.items()}
