"""What is sent, and what comes back, without how: plain values."""

from __future__ import annotations

import email.utils
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from knowledge_base.errors import ApiError, FileChanged, ProtocolError, api_error

API = "/api/v1"
# Read apart from the loop one by one: not too small; told of one by one: not too large.
_BLOCK_BYTES = 256 * 1024
# When a request may be sent again: also where it may have been done, or only where it was not.
Repeat = Literal["always", "not done"]


@dataclass(frozen=True, slots=True)
class FileBody:
    """Bytes of a file from ``offset`` on, between a ``head`` and a ``tail``.

    ``on_sent`` is called with the size of each block that goes out; what it raises stops the body.
    """

    path: Path
    offset: int
    size: int
    head: bytes = b""
    tail: bytes = b""
    on_sent: Any = None

    @property
    def length(self) -> int:
        return len(self.head) + self.size + len(self.tail)

    def blocks(self) -> Iterator[bytes]:
        """Raises ``FileChanged`` where the file ends too soon."""
        if self.head:
            yield self.head
        left = self.size
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while left:
                block = file.read(min(left, _BLOCK_BYTES))
                if not block:
                    raise FileChanged(f"{self.path} became shorter while it was being sent.")
                left -= len(block)
                yield block
                if self.on_sent is not None:
                    self.on_sent(len(block))
        if self.tail:
            yield self.tail


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``path`` begins with a slash; a whole URL goes to somebody else, without
    our credential. ``timeout_s`` is for the answer's head, ``None`` for the client's own.
    ``leads_on`` asks for an address: a redirect is its answer, and no other request's.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FileBody | None = None
    repeat: Repeat = "not done"
    is_public: bool = False
    is_stream: bool = False
    leads_on: bool = False
    timeout_s: float | None = None

    @classmethod
    def json(cls, method: str, path: str, body: Mapping[str, Any], **more: Any) -> Self:
        """Fields whose value is ``None`` are left out."""
        given = {name: value for name, value in body.items() if value is not None}
        headers = {"Content-Type": "application/json", **more.pop("headers", {})}
        data = json.dumps(given, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return cls(method, path, headers=headers, body=data, **more)

    def keyed(self, key: str | None = None) -> Self:
        """With an ``Idempotency-Key``, so that it may be sent again whatever became of it."""
        headers = {**self.headers, "Idempotency-Key": f'"{key or uuid.uuid4()}"'}
        return replace(self, headers=headers, repeat="always")

    def unkeyed(self) -> Self:
        headers = {name: text for name, text in self.headers.items() if name != "Idempotency-Key"}
        return replace(self, headers=headers, repeat="not done")

    @property
    def is_keyed(self) -> bool:
        return "Idempotency-Key" in self.headers

    @property
    def is_foreign(self) -> bool:
        return not self.path.startswith("/")

    def is_answered_by(self, status: int) -> bool:
        """A proxy's redirect leads to a page of its own: nothing of what was asked was done."""
        return 200 <= status < 300 or status == 304 or (self.leads_on and status == 302)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was read whole. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise ProtocolError(f"The answer ({self.status}) is not JSON.") from None

    def error(self, now: datetime | None = None) -> ApiError:
        """What a refusal says; of one that is not in the knowledge base's shape, its status."""
        retry_after = retry_after_s(self.headers.get("retry-after"), now or datetime.now(UTC))
        try:
            found = json.loads(self.body)["error"]
            code, message = str(found["code"]), str(found["message"])
            details = dict(found.get("details") or {})
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            code, message, details = (
                f"HTTP_{self.status}",
                "This is no knowledge base's answer.",
                {},
            )
        details.setdefault("request_id", self.headers.get("x-request-id"))
        return api_error(
            code, message, status=self.status, details=details, retry_after=retry_after
        )


def retry_after_s(text: str | None, now: datetime) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
