"""The httpx client for calls that are not on the hot path: those to the policy server."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx


def make_client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """A client that adds nothing: no proxies, redirects, cookies, retries or compression.

    A call states its timeouts; one that does not waits at most five seconds at each step.
    """
    client = httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(5.0),
        # One response's cookie would travel on another tenant's request: no domain may set any.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )
    # Only what a call names is sent; "identity" because relayed bytes are not ours to unpack.
    client.headers = httpx.Headers({"Accept-Encoding": "identity", "User-Agent": "kb-gateway"})
    return client
