"""``curl`` lines to continue with: each works unchanged while the demo runs."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from devstack.environment import ADMIN

# What is off by default and shown by a line; a key of a request counts where there is a Redis.
SETTINGS = {
    "GATEWAY_ANSWER_CACHE_TTL": "10m",
    "GATEWAY_IDEMPOTENCY_WITHOUT_REDIS": "ignore",
}


def write_headers(folder: Path, token: str) -> Path:
    """The token and the content type in a file for ``curl -H @…``: readable lines, no secret in
    the shell's history. The folder is removed with the demo."""
    path = folder / "headers"
    path.touch(mode=0o600)
    path.write_text(f"Authorization: Bearer {token}\nContent-Type: application/json\n", "utf-8")
    return path


def lines(base_url: str, headers: Path, password: str, question: str) -> list[tuple[str, str]]:
    """What each line does, and the line."""
    login = _body({"username": ADMIN, "password": password})
    asked = _body(query(question))
    key = _body({"name": "from curl", "scopes": ["query:run", "documents:list"]})
    api = f"{base_url}/api/v1"
    as_me = f"curl -sS -H @{shlex.quote(str(headers))}"
    return [
        (
            "log in for a token",
            f"curl -sS -H 'Content-Type: application/json' {base_url}/auth/login -d {login}",
        ),
        (
            "ask, and watch the answer stream",
            f"{as_me} -N -H 'Cache-Control: no-cache' {api}/query -d {asked}",
        ),
        ("ask the same again: Cache-Status says it was kept", f"{as_me} -i {api}/query -d {asked}"),
        ("list your documents", f"{as_me} {api}/documents"),
        ("see what was used, and what is left", f"{as_me} {api}/usage"),
        (
            "make an API key; with Redis, the same line again makes no second one",
            f"{as_me} -H 'Idempotency-Key: from-curl' {api}/keys -d {key}",
        ),
        (
            "log out: these lines' token ends",
            f"{as_me} -w '%{{http_code}}' -X POST {api}/auth/logout",
        ),
    ]


def query(question: str) -> dict[str, str]:
    return {"query": question}


def _body(value: object) -> str:
    return shlex.quote(json.dumps(value, ensure_ascii=False))
