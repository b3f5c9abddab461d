"""Every metric is documented, and what looks at metrics looks at those that exist."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import gateway
from devstack.components import find_program
from gateway.flows.health import State
from gateway.telemetry import catalogue
from gateway.telemetry.catalogue import layout_for
from gateway.telemetry.layout import Layout
from gateway.telemetry.metric import Histogram, LabelSet, Metric
from gateway.telemetry.shared_metrics import ROW_CELLS
from gateway.wiring import dependencies
from tests.unit.valid_settings import load

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "metrics.md"
STEPS = CHECKOUT / "docs" / "operations.md"
MONITORING = CHECKOUT / "k8s" / "monitoring"
ROUTES = [("GET", "/healthz"), ("POST", "/api/v1/query")]
# What can be down at all, with everything switched on.
EVERYTHING = load(
    GATEWAY_REDIS_URL="redis://redis",
    GATEWAY_SERVICES_OPA="http://opa:8181",
    GATEWAY_PUBLIC_URL="https://kb.example.com",
    GATEWAY_OIDC_ISSUER="https://sso.example.com",
    GATEWAY_OIDC_AUDIENCE="knowledge-base",
    GATEWAY_OIDC_TENANT="acme",
    GATEWAY_OIDC_ROLES="kb-readers reader",
)
NAMES = {
    "dependencies": dependencies.names(EVERYTHING),
    "pools": dependencies.pool_names(),
}
LAYOUT: Layout = layout_for(ROUTES, ("1.0", "3.11"), **NAMES)
METRICS = {metric.name: metric for metric in LAYOUT.metrics}
# What Prometheus adds to each series when it collects it.
ADDED = {"namespace", "pod", "instance", "job"}

_ROW = re.compile(r"^\| `(gateway_\w+)` \| (\w+) \|([^|]*)\| ([^|]+) \|$", re.MULTILINE)
_SELECTOR = re.compile(r"\b(gateway_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_BY = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


def series_of(metric: Metric) -> tuple[LabelSet, ...]:
    return metric.series_of(LAYOUT.names)


# --- the page -------------------------------------------------------------------------------------


def documented() -> dict[str, tuple[str, set[str], str]]:
    rows = _ROW.findall(PAGE.read_text("utf-8"))
    return {
        name: (kind, set(re.findall(r"`(\w+)`", labels)), meaning)
        for name, kind, labels, meaning in rows
    }


def test_every_metric_is_on_the_page_and_no_other() -> None:
    """With its type and its labels."""
    listed = {name: (kind, labels) for name, (kind, labels, _) in documented().items()}
    assert listed == {name: (one.kind, set(one.labels)) for name, one in METRICS.items()}


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_names_and_helps_are_as_prometheus_wants_them(metric: Metric) -> None:
    """Counters end in ``_total``, times are in seconds, and each says what it is in a sentence."""
    assert re.fullmatch(r"gateway_[a-z_]+[a-z]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")
    assert not set(metric.labels) & (ADDED | {"le"})
    assert len(set(series_of(metric))) == len(series_of(metric))
    assert len(metric.others) in (0, len(metric.labels))
    if isinstance(metric, Histogram):
        assert metric.name.endswith("_seconds")
        assert list(metric.buckets) == sorted(set(metric.buckets))


def test_label_sets_are_few() -> None:
    """A replica's page stays small, however it is used: what is not listed does not exist."""
    routes = [("GET", f"/route/{n}") for n in range(50)]
    assert layout_for(routes, ("1.0", "3.11"), **NAMES).end < ROW_CELLS
    series = sum(len(series_of(metric)) for metric in METRICS.values() if not metric.sparse)
    assert series < 120


# --- the words behind the labels ------------------------------------------------------------------


def reasons() -> Iterator[str]:
    """Every ``reason=`` a refused credential is given in the code; f-strings by their prefix."""
    package = Path(gateway.__file__).parent
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not _refuses(node):
                continue
            for keyword in node.keywords:
                if keyword.arg == "reason":
                    yield ast.unparse(keyword.value)


def _refuses(call: ast.Call) -> bool:
    # A login's reasons are for the log alone: there it is the password, whatever was wrong.
    names = {"Unauthenticated", "TokenExpired", "AmbiguousCredentials"}
    return isinstance(call.func, ast.Name) and call.func.id in names


def test_every_reason_a_credential_is_refused_for_has_its_series() -> None:
    """A new word in the code belongs into the catalogue, and no word there is a leftover."""
    found = set(reasons())
    words = {ast.literal_eval(text) for text in found if text.startswith("'")}
    # A claim's name is in the word.
    assert {text for text in found if not text.startswith("'")} == {"f'claim_{claim}'"}
    claims = {word for word in catalogue.AUTH_REASONS if word.startswith("claim_")}
    ours = {"password", "sign_in", "other"}
    assert words - claims == set(catalogue.AUTH_REASONS) - claims - ours
    known = {"sub", "tenant", "roles", "iat", "nbf", "exp", "jti", "pwv", "gen"}
    assert {word.removeprefix("claim_") for word in claims} == known


def test_dependency_states_are_those_of_readiness() -> None:
    assert set(catalogue.DEPENDENCY_STATES) == set(State.__args__)


# --- dashboard and alerts -------------------------------------------------------------------------


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]


@pytest.mark.parametrize(("place", "expression"), list(expressions()), ids=lambda text: text[:40])
def test_what_is_asked_for_exists(place: str, expression: str) -> None:
    """Names, labels, and label values that a series can have."""
    asked: list[Metric] = []
    for name, matchers in _SELECTOR.findall(expression):
        metric = METRICS.get(name) or METRICS.get(re.sub(r"_(bucket|count|sum)$", "", name))
        assert metric is not None, f"{place}: {name}"
        assert (name == metric.name) == (metric.kind != "histogram"), f"{place}: {name}"
        asked.append(metric)
        for label, operator, value in _MATCHER.findall(matchers):
            _check_matcher(f"{place}: {name}", metric, label, operator, value)
    assert asked, place
    known = ADDED | {"le"} | {label for metric in asked for label in metric.labels}
    for labels in _BY.findall(expression):
        assert {label.strip() for label in labels.split(",")} <= known, place


def _check_matcher(place: str, metric: Metric, label: str, operator: str, value: str) -> None:
    if label in ADDED:
        return
    assert label in metric.labels, f"{place}: no label {label}"
    at = metric.labels.index(label)
    values = {labels[at] for labels in series_of(metric)}
    # Each alternative of an expression is to name something, or it is a misspelling.
    for part in value.split("|") if "~" in operator else [re.escape(value)]:
        assert any(re.fullmatch(part, one) for one in values), f"{place}: {label}={part}"


def test_every_metric_is_looked_at() -> None:
    """What no panel shows is found by nobody."""
    shown = " ".join(expression for _, expression in expressions())
    assert [name for name in METRICS if not re.search(rf"\b{name}(_bucket)?\b", shown)] == []


def test_alerts_say_what_and_how_bad() -> None:
    """And each has its first steps on the page, its case that fires and its case that doesn't."""
    page = STEPS.read_text("utf-8")
    tests = yaml.safe_load((MONITORING / "alerts_test.yaml").read_text("utf-8"))["tests"]
    cases = {test["name"] for test in tests}
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description"}
        steps = re.search(rf"^### {rule['alert']}\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
        assert steps is not None, rule["alert"]
        assert len(re.findall(r"^\d\. ", steps[1], re.MULTILINE)) == 3, rule["alert"]
        assert {f"{rule['alert']} fires", f"{rule['alert']} stays silent"} <= cases


@pytest.fixture(scope="session")
def promtool() -> str:
    found = find_program("promtool")
    if found is None:
        hint = "no promtool: python -m devstack.fetch promtool"
        pytest.fail(hint) if os.environ.get("GATEWAY_REQUIRE_REAL") == "1" else pytest.skip(hint)
    return str(found)


def run(*command: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        command, cwd=MONITORING, input=stdin, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_takes_the_rules_and_their_tests_pass(promtool: str) -> None:
    """Prometheus's own judge."""
    assert "SUCCESS" in run(promtool, "check", "rules", "alerts.yaml")
    assert "SUCCESS" in run(promtool, "test", "rules", "alerts_test.yaml")


def test_promtool_can_read_the_dashboards_expressions(promtool: str, tmp_path: Path) -> None:
    """As rules, with Grafana's variables filled in."""
    filled = [
        {"record": f"panel:{n}", "expr": expression.replace("$__rate_interval", "5m")}
        for n, (_, expression) in enumerate(expressions())
        if not expression.startswith("label_values")
    ]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": filled}]}))
    assert "SUCCESS" in run(promtool, "check", "rules", str(path))


def test_promtool_finds_no_fault_in_the_page(promtool: str) -> None:
    """Names, helps and types as Prometheus's linter wants them."""
    from gateway.telemetry.exposition import page
    from gateway.telemetry.shared_metrics import SharedMetrics

    shared = SharedMetrics()
    row = shared.take(0, 1, [])
    for metric in METRICS.values():
        for at in LAYOUT.cells_of(metric).values():
            row[at] = 1.0
    assert run(promtool, "check", "metrics", stdin=page(LAYOUT, shared).decode()).strip() == ""


def test_dashboard_panels_are_numbered_described_and_placed() -> None:
    """Two panels with one id, or one on top of another, are shown wrongly without a word."""
    all_panels = dashboard()["panels"]
    assert len({panel["id"] for panel in all_panels}) == len(all_panels)
    assert [panel["title"] for panel in panels() if not panel.get("description")] == []
    taken: set[tuple[int, int]] = set()
    for panel in all_panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells


def test_label_sets_have_a_value_for_each_label() -> None:
    broken: list[LabelSet] = [
        labels
        for metric in METRICS.values()
        for labels in series_of(metric)
        if len(labels) != len(metric.labels) or not all(labels)
    ]
    assert broken == []
