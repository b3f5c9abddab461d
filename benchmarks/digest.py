"""Which code a result belongs to: a digest of the code that a relayed byte passes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
# Everything that a request, an opened stream or a relayed event passes through.
MEASURED = (
    *("gateway/http_client", "gateway/edge", "gateway/flows", "gateway/domain"),
    *("gateway/adapters/core_http.py", "gateway/adapters/core_calls.py", "blueprints/query.py"),
    *("gateway/adapters/core_requests.py", "gateway/adapters/core_adapter.py"),
)
# What the answers of the reference core depend on, and where their result is.
ANSWERED = (
    *("devstack/core/reading", "devstack/core/finding", "devstack/core/answering"),
    *("devstack/core/chunking.py", "devstack/core/index.py", "benchmarks/answers/questions.json"),
)
ANSWERS = CHECKOUT / "benchmarks" / "answers" / "result"


def code_digest(root: Path = CHECKOUT, parts: tuple[str, ...] = MEASURED) -> str:
    """SHA-256 over the names and the content of all source files below ``parts``."""
    digest = hashlib.sha256()
    for path in _sources(root, parts):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _sources(root: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    for part in parts:
        found = root / part
        for path in sorted(found.rglob("*")) if found.is_dir() else [found]:
            # Files made by a build or an interpreter are no sources.
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so":
                yield path
