"""Which headers travel to the core: an allow-list, made afresh for each call.

No header of a client is copied. Identity comes from the principal, the request id and the trace
from the request's scope, both checked; all else a client sent in its head ends at the gateway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Only these reach the core, whatever else an HTTP library adds: tests compare each head with them.
CORE_REQUEST_HEADERS = frozenset(
    {
        "host",
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "traceparent",
        "user-agent",
        "x-kb-actor",
        "x-kb-roles",
        "x-kb-subject",
        "x-kb-tenant",
        "x-request-id",
    }
)

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}\Z")
_VISIBLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?\Z")


def is_traceparent(text: str) -> bool:
    """Whether a client's ``traceparent`` may be taken over (W3C Trace Context, section 3.2.2)."""
    match = _TRACEPARENT.match(text)
    return match is not None and set(match[1]) != {"0"} and set(match[2]) != {"0"}


def core_headers(
    *,
    token: str,
    subject: str,
    tenant: str,
    roles: Iterable[str],
    request_id: str,
    actor: str | None = None,
    traceparent: str | None = None,
) -> dict[str, str]:
    """The head of a call to the core (contract, section 5).

    Raises:
        ValueError: a value holds what could end a header line. Names are checked when a token is
            verified, so this is a fault of ours and not of a client.
    """
    headers = {
        "Authorization": f"Bearer {token}",
        "X-KB-Subject": subject,
        "X-KB-Tenant": tenant,
        "X-KB-Roles": ",".join(sorted(roles)),
        "X-Request-ID": request_id,
    }
    if actor is not None:
        headers["X-KB-Actor"] = actor
    if traceparent is not None and is_traceparent(traceparent):
        headers["traceparent"] = traceparent
    for name, value in headers.items():
        if value and not _VISIBLE.match(value):
            raise ValueError(f"{name} holds a byte that no header value may hold")
    return headers
