"""The pages for people: which there are with these settings, all made at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sanic import Sanic

from blueprints import docs
from gateway.edge.http.console_view import ConsoleView
from gateway.edge.http.pages import Pages, render

TEMPLATES = Path(__file__).parent / "templates"


def add_pages(app: Sanic[Any, Any], view: ConsoleView | None) -> Pages:
    """Registers their routes with ``app``. Without a ``view`` there is no console.

    Raises:
        RuntimeError: a template has a fault; the gateway does not start with one.
    """
    app.blueprint(docs.blueprint)
    templates = [docs.template()]
    if view is not None:
        # Nothing of it is loaded where it is off.
        from blueprints import console

        app.blueprint(console.blueprint)
        templates.append(console.template(view))
    return render(app, TEMPLATES, templates)
