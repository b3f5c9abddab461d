"""Where the knowledge base is."""

from __future__ import annotations

import httpx


def checked_url(text: str) -> httpx.URL:
    """Raises ``ValueError`` for what is no base of addresses."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as exc:
        raise ValueError(f"{text!r} is no URL: {exc}") from exc
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{text!r} is no URL of HTTP: https://kb.example.com is one.")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("A base URL has no user, no password, no query and no fragment.")
    return url
