"""The httpx client the gateway's own calls go through: to the core, and to the policy server."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

# ``request.extensions`` key of a callable called once the request's head went out: from then on
# the connection stands. ``CoreTransport`` honours it; other transports (mocks) may not.
ON_SENT = "gateway.on_sent"
# ``request.extensions`` key of the (host, port) to connect to where that is not the URL's: the
# ``Host`` header and the name a certificate must have stay the URL's.
ADDRESS = "gateway.address"
# ``response.extensions`` key of the body itself, which httpx wraps: it can be pushed into a sink.
BODY = "gateway.body"


def make_client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """A client with nothing of its own: no proxies, redirects, cookies, retries or compression.

    Every call states its timeouts; a call that does not waits at most five seconds a step.
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
