"""What goes to Sentry: the gateway's own faults, by kind and place, and nothing anybody said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from gateway.edge.observe.sentry import report, start_reporting
from gateway.errors import StorageUnavailable

from .conftest import Gateway

CANARY = "canary-93ab"
DSN = "https://public@sentry.invalid/1"


class Kept(Transport):
    """A transport that keeps what would have left."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.raw: list[bytes] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.raw.append(envelope.serialize())
        event = envelope.get_event()
        if event is not None:
            self.events.append(dict(event))


@pytest.fixture
def kept() -> Iterator[Kept]:
    transport = Kept()
    start_reporting(DSN, "test", "1.2.3", transport=transport)
    yield transport
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


async def test_an_internal_error_is_reported_by_kind_place_and_request(
    gateway: Gateway, kept: Kept
) -> None:
    """The type, the frames and our request id; the text, the request and all variables are cut."""

    async def explode(*_: object) -> None:
        password = CANARY
        raise RuntimeError(f"no such password: {password}")

    gateway.workflows.list_open = explode  # type: ignore[method-assign,assignment]
    await gateway.client.get(
        "/api/v1/documents",
        headers={**await gateway.bearer(), "X-Request-ID": "mine-1", "Cookie": CANARY},
    )
    (event,) = kept.events
    assert event["tags"] == {"request_id": "mine-1"}
    assert (event["environment"], event["release"]) == ("test", "1.2.3")
    (exception,) = event["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("RuntimeError", "(scrubbed)")
    assert exception["stacktrace"]["frames"][-1]["function"] == "explode"
    assert not {"request", "user", "extra", "breadcrumbs", "server_name"} & event.keys()
    sent = b"".join(kept.raw)
    assert CANARY.encode() not in sent
    assert b"Bearer" not in sent


async def test_a_clients_and_a_dependencys_faults_are_not_reported(
    gateway: Gateway, kept: Kept
) -> None:
    """They are answers, not faults of ours."""

    async def unavailable(*_: object) -> None:
        raise StorageUnavailable from RuntimeError(CANARY)

    gateway.keys.list = unavailable  # type: ignore[method-assign,assignment]
    headers = await gateway.bearer()
    statuses = [
        (await gateway.client.get(target, headers=headers)).status_code
        for target in ("/nothing", "/api/v1/keys?x=1", "/api/v1/keys")
    ]
    assert statuses == [404, 400, 503]
    assert kept.events == []


async def test_causes_are_scrubbed_too(kept: Kept) -> None:
    """A chain of exceptions is as talkative as its last one."""
    try:
        try:
            raise ValueError(CANARY)
        except ValueError as exc:
            raise KeyError(CANARY) from exc
    except KeyError as exc:
        report(exc, "mine-2")
    (event,) = kept.events
    assert [one["value"] for one in event["exception"]["values"]] == ["(scrubbed)"] * 2
    assert CANARY.encode() not in kept.raw[0]


async def test_without_a_dsn_nothing_is_sent() -> None:
    """No DSN, no client, no thread."""
    start_reporting(None, "test", "1.2.3")
    report(RuntimeError(CANARY), "mine-3")
    assert not sentry_sdk.get_client().is_active()
