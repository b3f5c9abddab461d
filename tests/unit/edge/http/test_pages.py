"""Pages by sanic-ext's templates, and nothing else of sanic-ext."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sanic import Sanic

from blueprints import pages as site
from gateway import app as composition
from gateway.edge.http import pages
from gateway.edge.http.pages import Pages, Template
from tests.unit import valid_settings

LAYOUT = "<p>{{ name }}</p><script>let x</script>"
POLICY = "script-src 'self'"


def registered(app: Sanic[Any, Any]) -> Mapping[str, list[str]]:
    """All that Sanic runs for a request, or at a start, and what it routes."""
    return {
        "routes": sorted(f"{route.path} {sorted(route.methods)}" for route in app.router.routes),
        "signals": sorted(str(signal.path) for signal in app.signal_router.routes),
        "signals to come": sorted(str(signal.event) for signal in app._future_signals),
        "request middleware": [str(one) for one in app.request_middleware],
        "response middleware": [str(one) for one in app.response_middleware],
        "middleware to come": [str(one) for one in app._future_middleware],
        "listeners": sorted(f"{name} {len(all_)}" for name, all_ in app.listeners.items()),
        "handlers of exceptions": sorted(map(str, app.error_handler.cached_handlers)),
    }


def counted(found: Mapping[str, list[str]]) -> Mapping[str, int]:
    return {name: len(entries) for name, entries in found.items()}


def test_the_templates_add_nothing_that_a_request_runs_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No signal, no middleware, no listener, and no HEAD or OPTIONS route that is not declared."""
    settings = valid_settings.load()
    with_templates = registered(composition.create_app(settings, name="with_templates").sanic)
    monkeypatch.setattr(site, "render", lambda *_: Pages())
    without = registered(composition.create_app(settings, name="without_templates").sanic)
    assert counted(with_templates) == counted(without)
    for kind in ("routes", "signals", "signals to come", "listeners"):
        assert with_templates[kind] == without[kind]
    routes = with_templates["routes"]
    assert not any("OPTIONS" in one or ("HEAD" in one and "GET" not in one) for one in routes)


def test_values_are_escaped(tmp_path: Path) -> None:
    """A value is text, whatever it holds."""
    (tmp_path / "page.html").write_text(LAYOUT, "utf-8")
    app: Sanic[Any, Any] = Sanic("escaping")
    template = Template("page.html", {"name": "<script>alert(1)</script>"}, POLICY)
    page = pages.render(app, tmp_path, [template])["page.html"]
    assert "&lt;script&gt;alert(1)" in page.html
    assert page.html.count("<script>") == 1


def test_a_page_loads_what_its_policy_names_and_nothing_else(tmp_path: Path) -> None:
    """Whatever a template says of itself, it is framed by nobody and sends no form."""
    (tmp_path / "page.html").write_text(LAYOUT, "utf-8")
    app: Sanic[Any, Any] = Sanic("allowing")
    page = pages.render(app, tmp_path, [Template("page.html", {}, POLICY)])["page.html"]
    told = page.content_security_policy.split("; ")
    assert told[:2] == ["default-src 'none'", POLICY]
    assert set(told[2:]) == {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"}


def test_a_template_with_a_fault_is_told(tmp_path: Path) -> None:
    """The gateway does not start with it; its author reads what is wrong."""
    (tmp_path / "page.html").write_text("{{ name", "utf-8")
    with pytest.raises(Exception, match="end of print statement"):
        pages.render(Sanic("broken"), tmp_path, [Template("page.html", {}, POLICY)])
