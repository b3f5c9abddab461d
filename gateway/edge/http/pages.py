"""The HTML pages the gateway serves: Jinja templates, by sanic-ext, with a policy of their own.

A page is rendered once and served as it is. Its one inline style and one inline script are allowed
by their hashes; nothing else may run, load or frame it.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sanic import Sanic

from gateway.optional_imports import hidden_packages

# It validates requests with these, where they are installed; templates need none of them. Of
# pydantic it cannot do without the package itself: without its models that is 3 MiB less.
with hidden_packages("attr", "attrs", "pydantic.main", "pydantic.type_adapter"):
    from sanic_ext import Extend
    from sanic_ext.extensions.templating.extension import TemplatingExtension


@dataclass(frozen=True, slots=True)
class Page:
    html: str
    content_security_policy: str


def install(app: Sanic[Any, Any], templates: Path) -> None:
    """Gives ``app`` the templates of a folder, and nothing else of sanic-ext.

    Its other extensions would register a signal, which costs each request 25 to 30 µs, and HEAD and
    OPTIONS routes that declare no action.
    """
    Extend(
        app,
        extensions=[TemplatingExtension],
        built_in_extensions=False,
        config={"templating_path_to_templates": templates, "templating_enable_async": False},
    )


def render(app: Sanic[Any, Any], template: str, **values: str) -> Page:
    """The page that ``template`` makes of ``values``, which are escaped."""
    html = app.ext.environment.get_template(template).render(**values)
    policy = (
        f"default-src 'none'; script-src {_inline_hash(html, 'script')}; "
        f"style-src {_inline_hash(html, 'style')}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(html, policy)


def _inline_hash(html: str, tag: str) -> str:
    """The policy's name for the page's one inline ``tag`` element (CSP 3, section 2.3.1)."""
    inside = html.split(f"<{tag}>", 1)[1].split(f"</{tag}>", 1)[0]
    return f"'sha256-{b64encode(sha256(inside.encode()).digest()).decode()}'"
