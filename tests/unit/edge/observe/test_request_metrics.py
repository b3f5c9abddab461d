"""What one request adds to the metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.domain.policy import Decision, deny
from gateway.edge.observe.request_metrics import count
from gateway.edge.scope import Scope
from gateway.errors import (
    Forbidden,
    GatewayError,
    InternalError,
    InvalidCredentials,
    PolicyUnavailable,
    StorageUnavailable,
    TokenExpired,
)
from gateway.telemetry.book import NoMetrics


class Kept(NoMetrics):
    def __init__(self) -> None:
        self.decisions: list[tuple[str, bool]] = []
        self.reasons: list[str | None] = []
        self.internal_errors = 0

    def decision(self, decision: str, cached: bool) -> None:
        self.decisions.append((decision, cached))

    def internal_error(self) -> None:
        self.internal_errors += 1

    def auth_failure(self, reason: str | None) -> None:
        self.reasons.append(reason)


def counted(status: int, **known: Any) -> Kept:
    kept = Kept()
    app = SimpleNamespace(ctx=SimpleNamespace(gateway=SimpleNamespace(metrics=kept)))
    scope = Scope("id", "", None, 0.0, 0.0, **known)
    request: Any = SimpleNamespace(app=app, method="GET")
    count(request, scope, "/x", status, 0.1)
    return kept


@pytest.mark.parametrize(
    ("decision", "error", "expected"),
    [
        (Decision(True, "allowed", "d"), None, [("allow", False)]),
        (Decision(True, "allowed", "d", cached=True), None, [("allow", True)]),
        (Decision(False, "role", "d"), Forbidden(), [("deny", False)]),
        (deny("policy_broken", "d"), PolicyUnavailable(), [("error", False)]),
        (None, PolicyUnavailable(), [("error", False)]),
        (None, StorageUnavailable(), []),
    ],
)
def test_decisions(
    decision: Decision | None, error: GatewayError | None, expected: list[tuple[str, bool]]
) -> None:
    """An unavailable policy counts as an error, and so does a broken one: neither denied."""
    kept = counted(200, decision=decision, error=error, action="documents:list")
    assert kept.decisions == expected


def test_a_public_route_asks_nobody() -> None:
    assert counted(200).decisions == []


@pytest.mark.parametrize(
    ("error", "reason", "expected"),
    [
        (TokenExpired(reason="expired"), "expired", ["expired"]),
        (InvalidCredentials(), None, ["password"]),
    ],
)
def test_refused_credentials(
    error: GatewayError, reason: str | None, expected: list[str | None]
) -> None:
    """By the reason that stands in the log; a login's is the password."""
    assert counted(401, error=error, auth_reason=reason).reasons == expected


@pytest.mark.parametrize(("status", "expected"), [(500, 1), (200, 1)])
def test_a_fault_of_our_own_counts_once(status: int, expected: int) -> None:
    """As an answer, or as a stream's last event."""
    assert counted(status, error=InternalError()).internal_errors == expected
    assert counted(503, error=StorageUnavailable()).internal_errors == 0
