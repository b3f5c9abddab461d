"""Which questions have one and the same answer, and what clients say of kept ones: plain rules.

An answer is kept under a digest of all that it depends on. Two questions have the same digest only
where each part is the same: whose they are, what the policy and the documents were, and what was
asked, to the last field. There is no likeness in between: what is nearly the same question of
somebody else would be a way to his documents.
"""

from __future__ import annotations

import enum
import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

# With one of these the answer depends on what was said before, which is no part of the question.
OF_CONVERSATIONS = ("conversation_id", "messages")

_CANONICAL = msgspec.json.Encoder(order="deterministic")
_DIRECTIVE = re.compile(r'\s*([^\s=,]+)\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^,]*))?\s*(?:,|$)')


class Use(enum.Enum):
    """What a client lets be done with kept answers (RFC 9111, 5.2.1)."""

    KEPT = "kept"  # one may be given, and this one kept
    FRESH = "no-cache"  # the core is asked; its answer may be kept
    NONE = "no-store"  # the core is asked, and nothing kept


class Asker(NamedTuple):
    """For whom a question is asked, as far as the core is told."""

    tenant: str
    subject: str
    roles: frozenset[str]
    actor: str | None


def use_of(cache_control: str) -> Use:
    """By the request's ``Cache-Control``, several joined by commas; others say nothing here."""
    if not cache_control:
        return Use.KEPT
    names = {match[1].lower() for match in _DIRECTIVE.finditer(cache_control)}
    if Use.NONE.value in names:
        return Use.NONE
    return Use.FRESH if Use.FRESH.value in names else Use.KEPT


def asked_in(body: Mapping[str, Any]) -> bytes | None:
    """What is asked, in one spelling; ``None`` where the answer depends on more than the body.

    The question counts in Unicode's NFC and without white space around it, ``document_ids`` as a
    set. Every other field counts as it is, also one that is not known here.
    """
    if any(name in body for name in OF_CONVERSATIONS):
        return None
    asked = dict(body)
    asked["query"] = unicodedata.normalize("NFC", body["query"]).strip()
    if "document_ids" in asked:
        asked["document_ids"] = sorted(set(asked["document_ids"]))
    return _CANONICAL.encode(asked)


def answer_key(asker: Asker, *, policy_revision: str, corpus_revision: str, asked: bytes) -> bytes:
    """32 bytes over everything that the answer depends on; ``asked`` is from ``asked_in``."""
    parts = (
        *(asker.tenant, asker.subject, sorted(asker.roles), asker.actor),
        *(policy_revision, corpus_revision),
        msgspec.Raw(asked),
    )
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=32).digest()
