"""The HTML pages the gateway serves: Jinja templates, by sanic-ext, with a policy of their own.

A page is rendered once and served as it is, so sanic-ext is needed for some milliseconds: a child
process does it, and 10 MiB of modules never come into the supervisor and its workers. A page's one
inline style and one inline script are allowed by their hashes; nothing else may run, load or frame
it.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from sanic import Sanic

from gateway.optional_imports import apart, hidden_packages


@dataclass(frozen=True, slots=True)
class Page:
    html: str
    content_security_policy: str


def render(app: Sanic[Any, Any], templates: Path, template: str, **values: str) -> Page:
    """The page that a template of a folder makes of ``values``, which are escaped.

    Raises ``RuntimeError``, with the cause in its words, for a template with a fault.
    """
    html = apart(partial(_html, app, templates, template, values))
    policy = (
        f"default-src 'none'; script-src {_inline_hash(html, 'script')}; "
        f"style-src {_inline_hash(html, 'style')}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(html, policy)


def _html(app: Sanic[Any, Any], templates: Path, template: str, values: dict[str, str]) -> str:
    """Uses the templates of sanic-ext and nothing else of it.

    Its other extensions would register a signal, which costs each request 25 to 30 µs, and HEAD and
    OPTIONS routes that declare no action.
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
        config={"templating_path_to_templates": templates, "templating_enable_async": False},
    )
    return str(made.environment.get_template(template).render(**values))


def _inline_hash(html: str, tag: str) -> str:
    """The policy's name for the page's one inline ``tag`` element (CSP 3, section 2.3.1)."""
    inside = html.split(f"<{tag}>", 1)[1].split(f"</{tag}>", 1)[0]
    return f"'sha256-{b64encode(sha256(inside.encode()).digest()).decode()}'"
