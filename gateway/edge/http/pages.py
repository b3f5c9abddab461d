"""The HTML pages the gateway serves: Jinja templates, by sanic-ext, with a policy of their own.

Pages are rendered once and served as they are, so sanic-ext is needed for some milliseconds: a
child process renders all of them, and 10 MiB of modules never come into the supervisor and its
workers. What a page may load is in its policy, and nothing may frame it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sanic import Sanic
from sanic.response import HTTPResponse

from gateway.optional_imports import apart, hidden_packages

# What every page's policy ends with.
_NOTHING_ELSE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class Page:
    html: str
    content_security_policy: str

    def response(self) -> HTTPResponse:
        headers = {"Content-Security-Policy": self.content_security_policy}
        return HTTPResponse(self.html, content_type="text/html; charset=utf-8", headers=headers)


@dataclass(frozen=True, slots=True)
class Template:
    """A page to be made.

    Attributes:
        name: of its file.
        values: what it is given; texts are escaped.
        policy: what it may load, as directives of its policy.
    """

    name: str
    values: Mapping[str, Any]
    policy: str


class Pages(dict[str, Page]):
    """An application's pages, by the names of their templates."""


def render(app: Sanic[Any, Any], folder: Path, templates: Sequence[Template]) -> Pages:
    """The pages that templates of a folder make.

    Raises ``RuntimeError``, with the cause in its words, for a template with a fault.
    """
    made: dict[str, str] = json.loads(apart(partial(_html, app, folder, templates)))
    return Pages((one.name, Page(made[one.name], _policy(one))) for one in templates)


def _policy(template: Template) -> str:
    return f"default-src 'none'; {template.policy}; {_NOTHING_ELSE}"


def _html(app: Sanic[Any, Any], folder: Path, templates: Sequence[Template]) -> str:
    """JSON: the name of each template, and what it makes.

    Uses the templates of sanic-ext and nothing else of it: its other extensions would register a
    signal, which costs each request 25 to 30 µs, and HEAD and OPTIONS routes that declare no
    action.
    """
    # It validates requests with these, where they are installed; templates need none of them. Of
    # pydantic it cannot do without the package itself.
    with hidden_packages("attr", "attrs", "pydantic.main", "pydantic.type_adapter"):
        from sanic_ext import Extend
        from sanic_ext.extensions.templating.extension import TemplatingExtension

    made = Extend(
        app,
        extensions=[TemplatingExtension],
        built_in_extensions=False,
        config={"templating_path_to_templates": folder, "templating_enable_async": False},
    )
    get = made.environment.get_template
    return json.dumps({one.name: str(get(one.name).render(**one.values)) for one in templates})
