"""The table of endings, and how a core's error becomes ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.domain.stream import (
    CORE_MAY_SAY,
    ENDINGS,
    CoreReset,
    StreamOutcome,
    broken_by,
    replace_core_error,
    stopped_by,
    terminal_error,
)
from gateway.errors import (
    CoreProtocolError,
    CoreTruncated,
    CoreUnavailable,
    CredentialRevoked,
    Draining,
    Forbidden,
    GatewayError,
    Overloaded,
    PolicyUnavailable,
    StorageUnavailable,
    TokenExpired,
    by_code,
)

SEEN: dict[StreamOutcome, str | None] = {
    StreamOutcome.DONE: None,
    StreamOutcome.EXCESS_AFTER_DONE: None,
    StreamOutcome.CLIENT_LEFT: None,
    StreamOutcome.CORE_ERROR: "CORE_PROTOCOL_ERROR",
    StreamOutcome.CORE_EOF: "CORE_TRUNCATED",
    StreamOutcome.CORE_TRUNCATED: "CORE_TRUNCATED",
    StreamOutcome.CORE_RESET: "CORE_TRUNCATED",
    StreamOutcome.CORE_FAILED: "CORE_PROTOCOL_ERROR",
    StreamOutcome.NO_FIRST_EVENT: "FIRST_EVENT_TIMEOUT",
    StreamOutcome.SILENT: "STREAM_IDLE_TIMEOUT",
    StreamOutcome.TOO_LONG: "STREAM_MAX_DURATION",
    StreamOutcome.OVERSIZE: "EVENT_TOO_LARGE",
    StreamOutcome.TOKEN_EXPIRED: "TOKEN_EXPIRED",
    StreamOutcome.REVOKED: "CREDENTIAL_REVOKED",
    StreamOutcome.WITHDRAWN: "FORBIDDEN",
    StreamOutcome.UNVERIFIED: "POLICY_UNAVAILABLE",
    StreamOutcome.DRAINING: "DRAINING",
    StreamOutcome.STOPPED: "INTERNAL",
    StreamOutcome.INTERNAL: "INTERNAL",
}


@pytest.mark.parametrize("outcome", StreamOutcome)
def test_each_ending_shows_the_client_its_code(outcome: StreamOutcome) -> None:
    """One row for everything that can happen; silence only after ``done`` or to who left."""
    error = terminal_error(outcome)
    assert (error.code if error else None) == SEEN[outcome]


def test_only_a_whole_answer_leaves_its_connection_to_others() -> None:
    """Whatever else outcome, the core's side is closed."""
    assert [row for row in ENDINGS if ENDINGS[row].core == "reuse"] == [StreamOutcome.DONE]


def test_the_failure_itself_decides_where_the_table_says_so() -> None:
    """A refused call or a stop from outside keeps its own code; a clock does not."""
    given = CoreUnavailable()
    assert terminal_error(StreamOutcome.CORE_FAILED, given) is given
    assert terminal_error(StreamOutcome.STOPPED, Forbidden()).code == "FORBIDDEN"  # type: ignore[union-attr]
    assert terminal_error(StreamOutcome.SILENT, given).code == "STREAM_IDLE_TIMEOUT"  # type: ignore[union-attr]


@pytest.mark.parametrize("code", sorted({*by_code(), "QUOTA_EXCEEDED"}))
def test_a_cores_error_keeps_a_code_that_a_core_may_say_and_nothing_else(code: str) -> None:
    """Our message, our details: upstream text never leaves."""
    data = f'{{"error":{{"code":"{code}","message":"secret path","details":{{"a":"secret"}}}}}}'
    error = replace_core_error(data)
    assert error.code == (code if code in CORE_MAY_SAY else "CORE_PROTOCOL_ERROR")
    assert error.message == type(error).default_message
    assert "secret" not in repr((error.message, error.details, error.headers))


def test_a_core_says_nothing_of_credentials_methods_or_the_gateway() -> None:
    """Such an answer needs a header that only the gateway has, or lies about who failed."""
    assert {error.status for error in CORE_MAY_SAY.values()} == {400, 404, 502, 503, 504}
    assert not any(error().headers for error in CORE_MAY_SAY.values())
    known = by_code()
    assert all(known[code] is error for code, error in CORE_MAY_SAY.items())


@pytest.mark.parametrize(
    "data",
    ["", "{", "[]", "null", '{"error":null}', '{"error":{"code":7}}',
     '{"error":{"code":"MADE_UP"}}',
     '{"error":{}}', "\ud800", '{"error":{"code":"DRAINING"}} x'],
)  # fmt: skip
def test_a_cores_error_that_makes_no_sense_is_a_protocol_error(data: str) -> None:
    """Unknown codes and other shapes alike."""
    assert type(replace_core_error(data)) is CoreProtocolError


@pytest.mark.parametrize(
    ("error", "row"),
    [(CoreTruncated(), StreamOutcome.CORE_TRUNCATED), (CoreReset(), StreamOutcome.CORE_RESET),
     (CoreUnavailable(), StreamOutcome.CORE_FAILED)],
)  # fmt: skip
def test_a_broken_call_finds_its_row(error: GatewayError, row: StreamOutcome) -> None:
    """The client is told the same of a cut and a reset; the log is not."""
    assert broken_by(error) is row


@pytest.mark.parametrize(
    ("error", "row"),
    [(Draining(), StreamOutcome.DRAINING), (TokenExpired(), StreamOutcome.TOKEN_EXPIRED),
     (CredentialRevoked(), StreamOutcome.REVOKED),
     (Forbidden(), StreamOutcome.WITHDRAWN), (PolicyUnavailable(), StreamOutcome.UNVERIFIED),
     (StorageUnavailable(), StreamOutcome.UNVERIFIED), (Overloaded(), StreamOutcome.STOPPED)],
)  # fmt: skip
def test_a_stop_from_outside_finds_its_row(error: GatewayError, row: StreamOutcome) -> None:
    """A drain and an expiry have words of their own in the log."""
    assert stopped_by(error) is row


def test_the_docs_name_every_ending() -> None:
    """``docs/streaming.md`` has a row for each word of the log."""
    page = (Path(__file__).parents[3] / "docs" / "streaming.md").read_text()
    assert [one.value for one in StreamOutcome if f"| `{one.value}` |" not in page] == []


def test_a_reset_adds_no_code_to_the_public_ones() -> None:
    """``CoreReset`` is a word for the log."""
    assert by_code()["CORE_TRUNCATED"] is CoreTruncated
