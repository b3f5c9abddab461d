"""Errors that are the gateway's own fault, sent to Sentry when a DSN is set, scrubbed.

The SDK is imported by ``start_reporting`` and not before: most gateways have no DSN, and each of
its workers would carry 3 MiB for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

# Where credentials, queries or bodies could sit. They are cut whole, not filtered by pattern.
_CUT = ("request", "user", "breadcrumbs", "server_name", "extra", "modules")
_started = False


def start_reporting(dsn: str | None, environment: str, release: str, **options: Any) -> None:
    """Does nothing without a DSN. No integration is switched on: they would read requests."""
    global _started
    if dsn is None:
        return
    import sentry_sdk

    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        release=release,
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        before_send=scrub,
        **options,
    )
    _started = True


def scrub(event: Event, hint: Hint) -> Event:
    """Keeps the exception's type and trace and our request id; the rest stays here.

    An exception's text is cut too: a vendor's message may quote what it was given.
    """
    for name in _CUT:
        event.pop(name, None)  # type: ignore[misc]
    for exception in event.get("exception", {}).get("values", []):
        exception["value"] = "(scrubbed)"
        for frame in (exception.get("stacktrace") or {}).get("frames", []):
            frame.pop("vars", None)
    return event


def report(exception: BaseException, request_id: str) -> None:
    if not _started:
        return
    import sentry_sdk

    with sentry_sdk.new_scope() as scope:
        scope.set_tag("request_id", request_id)
        sentry_sdk.capture_exception(exception)
