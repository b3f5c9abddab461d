"""What the document promises, asked for in thousands of ways: no 5xx, no undocumented answer."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from .fakes import PASSWORD
from .live import live_gateway

EXAMPLES = 40
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


class Live:
    def __init__(self, url: str) -> None:
        answer = httpx.post(
            f"{url}/auth/login", json={"username": "root", "password": PASSWORD}, trust_env=False
        )
        self.url = url
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        document = httpx.get(f"{url}/openapi.json", trust_env=False).json()
        schema = schemathesis.openapi.from_dict(document)
        self.operations = [found.ok() for found in schema.get_all_operations()]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_gateway() as (url, _):
        yield Live(url)


def run(live: Live, operation: APIOperation, mode: GenerationMode) -> None:
    """``EXAMPLES`` cases of one operation, the same on every run."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        case.call_and_validate(base_url=live.url, headers=live.headers, checks=CHECKS)

    ask()


def test_good_requests_get_documented_answers(live: Live) -> None:
    """Whatever fits the document: a documented status, type, header and body, and no 5xx."""
    assert len(live.operations) >= 18
    for operation in live.operations:
        run(live, operation, GenerationMode.POSITIVE)


def test_bad_requests_get_documented_answers(live: Live) -> None:
    """Whatever does not fit: the same."""
    for operation in live.operations:
        if operation.body or operation.path_parameters or operation.query:
            run(live, operation, GenerationMode.NEGATIVE)
