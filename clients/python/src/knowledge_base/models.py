"""What the knowledge base tells, as values. Sizes are bytes, durations seconds, times in UTC.

Fields that a newer server adds are left out; a field that may be missing has a default.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

from knowledge_base.events import Citation, Passage, Usage

DocumentStatus = Literal["awaiting_upload", "processing", "indexed", "failed", "expired"]
SETTLED: frozenset[str] = frozenset({"indexed", "failed", "expired"})


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A fresh token, good for ``expires_in`` seconds."""

    access_token: str = field(repr=False)
    token_type: str
    expires_in: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the knowledge base takes you for. ``scopes`` is ``None`` for a token: no narrowing.

    People who sign in at their company have a ``name``, beside a ``subject`` that is a digest.
    """

    subject: str
    tenant: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...] | None
    auth_method: str
    expires_at: datetime | None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """An API key. ``secret`` is there when it was just made or rotated, and never again."""

    key_id: str
    name: str
    owner: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A document and how far its indexing is.

    ``progress`` is 0 to 1, if known. ``stage`` (``queued``, ``fetching``, ``reading``,
    ``splitting``, ``indexing``) and ``ahead``, about how many wait before it, are told while it is
    processed. ``warnings`` are sentences about what could not be read of it.
    """

    document_id: str
    filename: str
    content_type: str
    size: int
    status: str
    progress: float | None
    error: str | None
    created_at: datetime
    updated_at: datetime | None = None
    sha256: str | None = None
    stage: str | None = None
    ahead: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Nothing more will happen to it by itself."""
        return self.status in SETTLED


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Newest first; ``next_cursor`` is ``None`` on the last page."""

    documents: tuple[Document, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, or what was told of one so far (then ``finish_reason`` is ``None``).

    A citation says that ``sources[citation.source]`` carries ``text[citation.start:citation.end]``.
    """

    text: str
    citations: tuple[Citation, ...] = ()
    sources: tuple[Passage, ...] = ()
    usage: Usage | None = None
    finish_reason: str | None = None
    query_id: str | None = None
    model: str | None = None


# --- what was used --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokensUsed:
    """Tokens of one day or month of UTC; ``estimated_tokens`` of answers that told no usage."""

    per: str
    period: str
    begins_at: datetime
    ends_at: datetime
    prompt_tokens: int
    completion_tokens: int
    estimated_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class QuotaLeft:
    quota: str
    per: str
    limit: int
    used: int
    left: int
    renews_at: datetime


@dataclass(frozen=True, slots=True)
class LimitLeft:
    """``left`` requests, or open streams, would pass now; else one in ``retry_after_s``."""

    limit: str
    per: str
    allowed: str
    left: int
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class KeyUsed:
    key_id: str
    last_used_at: datetime
    tokens_day: int
    tokens_month: int


@dataclass(frozen=True, slots=True)
class UsageReport:
    """``counted`` is false where no tokens are counted; then only ``limits`` say something."""

    tenant: str
    subject: str
    counted: bool
    tokens: tuple[TokensUsed, ...]
    quotas: tuple[QuotaLeft, ...]
    limits: tuple[LimitLeft, ...]
    keys: tuple[KeyUsed, ...]


# --- uploads --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is on its way: ``sent`` of ``total`` bytes."""

    path: Path
    sent: int
    total: int


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A document that is in the store whole, and is being indexed."""

    document_id: str
    filename: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class UploadState:
    """How far an upload in parts is: what is needed to go on with it, also in another process.

    ``etags`` has what the store answered to each part that it has, by number from 1. It holds no
    secret, and is good as long as the upload may take (six hours, if the server has no other
    setting). ``to_json`` and ``from_json`` are for keeping it in a file.
    """

    document_id: str
    size: int
    sha256: str
    part_size: int
    etags: Mapping[int, str]

    @property
    def parts(self) -> int:
        return -(-self.size // self.part_size)

    def to_json(self) -> str:
        whole = {name: getattr(self, name) for name in ("document_id", "size", "sha256")}
        return json.dumps({**whole, "part_size": self.part_size, "etags": dict(self.etags)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ``ValueError`` where this is not what ``to_json`` gave."""
        try:
            found: dict[str, Any] = json.loads(text)
            etags = {int(n): str(etag) for n, etag in found.pop("etags").items()}
            state = cls(**found, etags=etags)
            fits = min(state.part_size, state.size) > 0 and isinstance(state.sha256, str)
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise ValueError("This is no state of an upload.") from exc
        if not fits:
            raise ValueError("This is no state of an upload.")
        return state
