"""The one error shape with what OpenAI's clients read of it."""

from __future__ import annotations

import pytest

from gateway.domain.error_shape import error_body
from gateway.edge.openai.error_shape import with_openai_fields
from gateway.errors import ValidationFailed, by_code

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}


@pytest.mark.parametrize("code", sorted(by_code()))
def test_every_error_keeps_what_it_says_and_gets_a_type(code: str) -> None:
    """By its status, so that a client that knows neither its code nor its class can act on it."""
    body = error_body(by_code()[code](), "r-1")
    told = with_openai_fields(body)["error"]
    assert {name: told[name] for name in ("code", "message", "details")} == body["error"]
    status = by_code()[code].status
    general = "invalid_request_error" if status < 500 else "server_error"
    expected = "rate_limit_error" if status == 429 else TYPES.get(status, general)
    assert (told["type"], told["param"]) == (expected, None)


def test_a_wrong_field_is_the_param_and_in_the_message() -> None:
    """Chat interfaces show the message and nothing else."""
    error = ValidationFailed(fields={"n": "expected int <= 1", "stop": "expected a list"})
    told = with_openai_fields(error_body(error, "r-1"))["error"]
    assert told["param"] == "n"
    assert told["message"].endswith("n: expected int <= 1; stop: expected a list")
