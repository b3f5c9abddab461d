"""Which status a failure has, and what its details say."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from gateway.edge.grpc.peer import address_of
from gateway.edge.grpc.status import details_of, status_of
from gateway.errors import Forbidden, Overloaded, ValidationFailed, by_code

PAGE = Path(__file__).parents[4] / "docs" / "grpc.md"


def test_the_page_has_the_status_of_every_code() -> None:
    """Whoever adds a code says which status it has over gRPC."""
    table = PAGE.read_text("utf-8").partition("| status | codes |")[2].partition("\n\n")[0]
    rows = [re.findall(r"`([A-Z_]+)`", line) for line in table.splitlines()[2:]]
    page = {status: set(codes) for status, *codes in rows}
    found = defaultdict(set)
    for code, kind in by_code().items():
        found[status_of(kind()).name].add(code)
    assert page == found


def test_details_are_the_one_error_shape() -> None:
    """Code, request id, the decision; the fields that are wrong; when to come back."""
    status = details_of(Forbidden(details={"decision_id": "d-1"}), "r-1")
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, status.message) == (7, Forbidden.default_message)
    assert (info.reason, info.domain) == ("FORBIDDEN", "knowledge-base-gateway")
    assert dict(info.metadata) == {"decision_id": "d-1", "request_id": "r-1"}
    wrong = details_of(ValidationFailed(fields={"query": "is required"}), "r-2").details[1]
    faults = BadRequest()
    assert wrong.Unpack(faults)
    assert [(one.field, one.description) for one in faults.field_violations] == [
        ("query", "is required")
    ]
    later = RetryInfo()
    assert details_of(Overloaded(retry_after_s=7), "r-3").details[1].Unpack(later)
    assert later.retry_delay.seconds == 7


def test_an_address_is_read_from_what_grpc_calls_a_peer() -> None:
    assert address_of("ipv4:192.0.2.1:5000") == "192.0.2.1"
    assert address_of("ipv6:%5B2001:db8::1%5D:5000") == "2001:db8::1"
    assert address_of("ipv6:[::ffff:192.0.2.1]:5000") == "::ffff:192.0.2.1"
    assert address_of("unix:/run/x") == ""
