"""The policy, asked of an OPA server over its REST data API.

One question is one ``POST /v1/data/gateway/authz`` within a budget. There are three outcomes:

- a well-formed document with HTTP 200: believed, and it allows only with ``allow: true``;
- an answer that only a loaded and faulty policy gives (no result, a result of the wrong shape, an
  evaluation error): denied as ``policy_broken``;
- everything else (refused, frozen, 4xx, 5xx, a redirect, not JSON, too long):
  ``PolicyUnavailable``.

Source: https://www.openpolicyagent.org/docs/rest-api (Data API, Health API, Provenance).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import httpx
import msgspec

from gateway.adapters.policy_input import InputPolicy
from gateway.domain.policy import Decision, believe
from gateway.errors import PolicyUnavailable

# An answer is some 100 bytes; obligations may add to it, and no policy needs more than this.
ANSWER_LIMIT_BYTES: Final = 64 * 1024

UNVERSIONED: Final = "opa"

# A connection that was kept open and that OPA closed meanwhile fails like this. A question changes
# nothing there, so it may be sent once more; a refused connection or a time-out would fail again.
_CLOSED_BY_OPA = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class OpaPolicy(InputPolicy):
    """``PolicyEngine`` on an OPA server.

    Args:
        client: sends the questions; whoever made it sets its pool, proxies and cookies.
        base_url: such as ``http://opa:8181``.
        budget_s: seconds one question may take, connecting and a second try included.
    """

    def __init__(self, client: httpx.AsyncClient, base_url: str, budget_s: float) -> None:
        base = base_url.rstrip("/")
        self._client = client
        self._health_url = f"{base}/health"
        self._question_url = f"{base}/v1/data/gateway/authz?provenance=true"
        self._budget_s = budget_s
        self._revision = UNVERSIONED

    @property
    def revision(self) -> str:
        """The loaded bundles' revisions as of the last answer; a constant without bundles."""
        return self._revision

    async def _evaluate(self, text: bytes, decision_id: str) -> Decision:
        status, body = await self._ask("POST", self._question_url, b'{"input":' + text + b"}")
        return self._read(status, body, decision_id)

    async def check(self) -> None:
        status, _ = await self._ask("GET", self._health_url)
        if status != httpx.codes.OK:
            raise PolicyUnavailable from ValueError(f"OPA's health answer is {status}")
        await self._check_answers()

    async def _ask(self, method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(self._budget_s):
                try:
                    return await self._exchange(method, url, body)
                except _CLOSED_BY_OPA:
                    return await self._exchange(method, url, body)
        except (httpx.HTTPError, TimeoutError) as exc:
            raise PolicyUnavailable from exc

    async def _exchange(self, method: str, url: str, body: bytes | None) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        answer = bytearray()
        async with self._client.stream(
            method, url, content=body, headers=headers, follow_redirects=False
        ) as response:
            if "Content-Encoding" in response.headers:
                # It was not asked for, and could unpack to any size past the limit.
                raise PolicyUnavailable from ValueError("OPA's answer is compressed")
            async for chunk in response.aiter_bytes():
                answer += chunk
                if len(answer) > ANSWER_LIMIT_BYTES:
                    raise PolicyUnavailable from ValueError("OPA's answer is too long")
            return response.status_code, bytes(answer)

    def _read(self, status: int, body: bytes, decision_id: str) -> Decision:
        answer = _parse(body)
        if status == httpx.codes.INTERNAL_SERVER_ERROR and _is_evaluation_error(answer):
            return believe(None, decision_id)
        if status != httpx.codes.OK:
            raise PolicyUnavailable from ValueError(f"OPA answered {status}")
        self._revision = _revision(answer)
        logged_as = answer.get("decision_id")
        return believe(
            answer.get("result"), logged_as if isinstance(logged_as, str) else decision_id
        )


def _parse(body: bytes) -> Mapping[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise PolicyUnavailable from exc
    if not isinstance(answer, dict):
        raise PolicyUnavailable from ValueError("OPA's answer is no JSON object")
    return answer


def _is_evaluation_error(answer: Mapping[str, Any]) -> bool:
    """Whether OPA says that the policy failed, and not OPA itself (``eval_conflict_error`` …).

    A cancelled evaluation is OPA's time running out, not the policy's fault.
    """
    errors = answer.get("errors")
    if not isinstance(errors, list):
        return False
    codes = {str(error.get("code")) for error in errors if isinstance(error, dict)}
    return any(code.startswith("eval_") for code in codes - {"eval_cancel_error"})


def _revision(answer: Mapping[str, Any]) -> str:
    """The bundles' revisions out of ``provenance``, in the bundles' order of name."""
    provenance = answer.get("provenance")
    bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
    if not isinstance(bundles, dict) or not bundles:
        return UNVERSIONED
    return msgspec.json.encode(bundles, order="sorted").decode()
