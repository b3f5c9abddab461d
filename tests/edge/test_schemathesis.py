"""Thousands of requests made from the document: no 5xx, no undocumented answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from .conftest import Gateway
from .doors import CHAT, chat_question
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


MEANT: dict[str, dict[str, object]] = {
    CHAT: chat_question("hi"),
    "/auth/login": {"username": "root", "password": PASSWORD},
    "/api/v1/auth/login": {"username": "root", "password": PASSWORD},
    "/api/v1/documents": {
        "filename": "a.txt",
        "content_type": "text/plain",
        "size": 5,
        "sha256": None,
    },
    "/api/v1/keys": {"name": "a key"},
    # A client of an older revision begins so; what others send needs its headers.
    "/mcp": {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}},
}
# Nothing is uploaded here: what these find is a document that awaits its bytes, in one part.
NEEDING_BYTES = {
    "/api/v1/documents/{document_id}/complete",
    "/api/v1/documents/{document_id}/content",
    "/api/v1/documents/{document_id}/parts",
}
# Where there is no company sign-in, nothing leads to it.
OF_COMPANY = {
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
    "/api/v1/auth/oidc/start",
    "/api/v1/auth/oidc/callback",
}
# An upgrade is nothing that a request of OpenAPI can ask for.
EXPECTED = {
    **dict.fromkeys(NEEDING_BYTES, (409,)),
    **dict.fromkeys(OF_COMPANY, (404,)),
    "/api/v1/query/ws": (426,),
}


class Live:
    def __init__(self, url: str, gateway: Gateway) -> None:
        self.gateway = gateway
        self.url = url
        self._headers: dict[str, str] | None = None
        document = httpx.get(f"{url}/openapi.json", trust_env=False).json()
        schema = schemathesis.openapi.from_dict(document)
        # Else half of the cases bring an invented key beside the token, and are all 401.
        schema.config.generation.update(with_security_parameters=False)
        self.operations = [found.ok() for found in schema.get_all_operations()]

    @property
    def headers(self) -> dict[str, str]:
        if self._headers is None:
            login = {"username": "root", "password": PASSWORD}
            answer = httpx.post(f"{self.url}/auth/login", json=login, trust_env=False)
            self._headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return self._headers

    def headers_for(self, operation: APIOperation) -> dict[str, str]:
        """Where the request may end all tokens there are, the next one has a fresh one."""
        headers = self.headers
        if operation.path.endswith("/logout"):
            self._headers = None
        return headers

    def new_document(self) -> str:
        return str(self._post("/api/v1/documents", MEANT["/api/v1/documents"])["document_id"])

    def new_key(self) -> str:
        made = {"name": "a key", "scopes": ["query:run"]}
        self.gateway.keys.records.clear()  # there may be a hundred an owner
        return str(self._post("/api/v1/keys", made)["key_id"])

    def _post(self, path: str, body: object) -> dict[str, object]:
        answer = httpx.post(f"{self.url}{path}", json=body, headers=self.headers, trust_env=False)
        found: dict[str, object] = answer.raise_for_status().json()
        return found


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_gateway() as (url, gateway):
        yield Live(url, gateway)


# A request that breaks the document must be refused: else the document is narrower than the code.
REFUSED = [*CHECKS, checks.negative_data_rejection]


# A probe lasts as long as it is told to: of each time that it takes, the shortest.
SHORTEST = {"events": (1, 100), "interval_ms": (10, 1000), "silence_ms": (0, 15_000)}


def make_quick(case: Case) -> None:
    """Takes no time out of a probe that is refused anyway; else it would last for minutes."""
    for name, (least, most) in SHORTEST.items() if case.operation.path.endswith("/probe") else ():
        text = str((case.query or {}).get(name, ""))
        if text.isdigit() and least <= int(text) <= most:
            case.query[name] = least


def run(
    live: Live,
    operation: APIOperation,
    mode: GenerationMode,
    prepare: Callable[[Case], None] = lambda case: None,
) -> Counter[int]:
    """``EXAMPLES`` cases of one operation, the same on every run; gives the statuses seen."""
    seen: Counter[int] = Counter()

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
        prepare(case)
        make_quick(case)
        response = case.call_and_validate(
            base_url=live.url,
            headers=live.headers_for(operation),
            checks=REFUSED if mode is GenerationMode.NEGATIVE else CHECKS,
        )
        seen[response.status_code] += 1

    ask()
    return seen


def test_good_requests_get_documented_answers(live: Live) -> None:
    """Whatever fits the document: a documented status, type, header and body, and no 5xx."""
    assert len(live.operations) >= 18
    for operation in live.operations:
        assert 401 not in run(live, operation, GenerationMode.POSITIVE) or "login" in operation.path


def test_requests_that_make_sense_succeed_as_documented(live: Live) -> None:
    """The same with ids that exist and words that mean something: each route's own success."""

    def prepare(case: Case) -> None:
        if "document_id" in case.path_parameters:
            case.path_parameters["document_id"] = live.new_document()
        if "key_id" in case.path_parameters:
            case.path_parameters["key_id"] = live.new_key()
        if case.query:
            case.query.pop("cursor", None)
            case.query.pop("owner", None)
        if isinstance(case.body, dict):
            case.body.update(MEANT.get(case.operation.path, {}))

    for operation in live.operations:
        seen = run(live, operation, GenerationMode.POSITIVE, prepare)
        expected = EXPECTED.get(operation.path, (200, 201, 204))
        assert any(status in expected for status in seen), (operation.label, seen)


def test_bad_requests_get_documented_answers(live: Live) -> None:
    """Whatever does not fit is refused, and as documented."""
    for operation in live.operations:
        if operation.body or operation.path_parameters or operation.query:
            run(live, operation, GenerationMode.NEGATIVE)
