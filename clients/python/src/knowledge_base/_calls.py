"""What each method asks for: requests as values, one function a route."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from knowledge_base._core import without_none
from knowledge_base._requests import API, Request


def me() -> Request:
    return Request("GET", f"{API}/auth/me", repeat="always")


def log_out(*, all_tokens: bool) -> Request:
    return Request("POST", f"{API}/auth/logout", {"all": "true"} if all_tokens else {})


# --- keys -----------------------------------------------------------------------------------------


def create_key(
    name: str, scopes: Sequence[str], expires_in: int | None, idempotency_key: str | None
) -> Request:
    body = {"name": name, "scopes": list(scopes), "expires_in": expires_in}
    return Request.json("POST", f"{API}/keys", body).keyed(idempotency_key)


def list_keys(owner: str | None) -> Request:
    return Request("GET", f"{API}/keys", without_none(owner=owner), repeat="always")


def revoke_key(key_id: str, owner: str | None) -> Request:
    return Request("DELETE", _below("keys", key_id), without_none(owner=owner), repeat="always")


def rotate_key(key_id: str, overlap: int | None) -> Request:
    # Not to be repeated: each time it makes another secret.
    return Request.json("POST", _below("keys", key_id, "rotate"), {"overlap": overlap})


# --- documents ------------------------------------------------------------------------------------


def announce(
    filename: str, size: int, sha256: str, content_type: str | None, idempotency_key: str | None
) -> Request:
    body = {"filename": filename, "size": size, "sha256": sha256, "content_type": content_type}
    return Request.json("POST", f"{API}/documents", body).keyed(idempotency_key)


def sign_parts(document_id: str, numbers: Sequence[int]) -> Request:
    path = _below("documents", document_id, "parts")
    return Request.json("POST", path, {"parts": list(numbers)}, repeat="always")


def complete(document_id: str, etags: Sequence[tuple[int, str]] | None) -> Request:
    path = _below("documents", document_id, "complete")
    parts = None if etags is None else [{"n": n, "etag": etag} for n, etag in etags]
    # By itself it may be repeated, with the same answer.
    return Request.json("POST", path, {"parts": parts}, repeat="always")


def list_documents(limit: int | None, cursor: str | None, owner: str | None) -> Request:
    query = without_none(limit=limit, cursor=cursor, owner=owner)
    return Request("GET", f"{API}/documents", query, repeat="always")


def read_document(document_id: str, owner: str | None, etag: str | None = None) -> Request:
    headers = {} if etag is None else {"If-None-Match": etag}
    path = _below("documents", document_id)
    return Request("GET", path, without_none(owner=owner), headers, repeat="always")


def delete_document(document_id: str, owner: str | None) -> Request:
    path = _below("documents", document_id)
    return Request("DELETE", path, without_none(owner=owner), repeat="always")


def document_content(document_id: str, owner: str | None) -> Request:
    path = _below("documents", document_id, "content")
    return Request("GET", path, without_none(owner=owner), repeat="always", leads_on=True)


# --- questions ------------------------------------------------------------------------------------


def ask(
    query: str,
    top_k: int | None,
    document_ids: Sequence[str] | None,
    conversation_id: str | None,
    *,
    answer_timeout_s: float | None,
) -> Request:
    """With ``answer_timeout_s`` the answer is to come whole, within that time."""
    is_stream = answer_timeout_s is None
    body = {
        "query": query,
        "top_k": top_k,
        "document_ids": None if document_ids is None else list(document_ids),
        "conversation_id": conversation_id,
        "stream": is_stream,
    }
    # A coding on the way would hold events back until enough has come together.
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"} if is_stream else {}
    return Request.json(
        "POST",
        f"{API}/query",
        body,
        headers=headers,
        is_stream=is_stream,
        timeout_s=answer_timeout_s,
    )


def search(query: str, top_k: int | None, document_ids: Sequence[str] | None) -> Request:
    ids = None if document_ids is None else list(document_ids)
    body = {"query": query, "top_k": top_k, "document_ids": ids}
    return Request.json("POST", f"{API}/search", body, repeat="always")


def usage(owner: str | None) -> Request:
    return Request("GET", f"{API}/usage", without_none(owner=owner), repeat="always")


def _below(group: str, *names: str) -> str:
    """An id is one step of the path, whatever it holds."""
    return "/".join((API, group, *(quote(checked_id(name), safe="") for name in names)))


def checked_id(text: str) -> str:
    """What can be a step of a path. Dots alone lead elsewhere, however they are encoded.

    Raises:
        ValueError: it cannot.
    """
    if text in ("", ".", "..") or not text.isascii():
        raise ValueError(f"{text!r} is no id.")
    return text
