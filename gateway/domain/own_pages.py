"""Whether a request with a cookie was made by a page of the gateway's own origin.

A browser adds a cookie by itself, whoever made it send the request: that is what cross-site request
forgery uses. So what a cookie authenticates must show where it comes from, in two ways that no page
of another origin can both take:

- ``Origin`` is ours. A browser sends it with each request that is no GET or HEAD, and no page can
  change it; ``Sec-Fetch-Site``, where the browser sends that, says the same. It holds against
  ``SameSite=Lax`` being not enough: a sibling name of our domain is the same *site*.
- ``X-CSRF-Protection: 1`` is there. A form cannot send it at all, and a script of another origin
  needs a preflight's leave, which is never given for it. It holds where something in between
  rewrites or drops ``Origin``.

Reading needs neither: a page of another origin sees no answer that CORS does not let it see, and
nothing here is changed by a GET. A WebSocket is opened by a GET and is no subject of CORS: there
``Origin`` must be ours.

Sources: the Fetch standard (3.2, ``Origin``); Fetch Metadata Request Headers (2.3);
OWASP Cross-Site Request Forgery Prevention Cheat Sheet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

CSRF_HEADER: Final = "x-csrf-protection"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_READING: Final = frozenset({"GET", "HEAD"})

Values = Callable[[str], Sequence[str]]


def origin_of(url: str) -> str:
    """The origin of an http(s) address, as browsers write it."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    shown = f"[{host}]" if ":" in host else host
    if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)):
        return f"{parts.scheme}://{shown}"
    return f"{parts.scheme}://{shown}:{parts.port}"


def path_of(url: str) -> str:
    """What an http(s) address has before the paths that are added to it."""
    return urlsplit(url).path.rstrip("/")


def comes_from(values: Values, origin: str) -> bool:
    """Whether a page of ``origin`` made the request, by the headers that browsers alone write.

    ``values`` gives all of one header, by its name in lower case.
    """
    site = list(values("sec-fetch-site"))
    return list(values("origin")) == [origin] and site in ([], ["same-origin"])


def may_use_cookie(method: str, values: Values, origin: str) -> bool:
    """Whether a request of this method may be authenticated by its cookie."""
    if method in _READING:
        return True
    return comes_from(values, origin) and list(values(CSRF_HEADER)) == ["1"]
