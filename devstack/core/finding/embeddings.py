"""Vectors of passages, from any OpenAI-compatible endpoint: the second stage, off by default."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import httpx
import numpy as np
from numpy.typing import NDArray

from devstack.core.settings import EndpointSettings

Vectors = NDArray[np.float32]

BATCH = 64
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0


class EmbeddingsUnavailable(Exception):
    """The endpoint gave no vectors; what is found is then found by words alone."""


class Embedder(Protocol):
    """Turns texts into vectors of length 1, a row each; ``model`` tells which vectors compare."""

    model: str

    def embed(self, texts: Sequence[str]) -> Vectors: ...


class EndpointEmbedder:
    """Asks ``POST {base_url}/embeddings``. Blocking, for a thread; threads may share it."""

    def __init__(self, settings: EndpointSettings) -> None:
        self.model = settings.model
        self._url = f"{settings.base_url}/embeddings"
        headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        self._client = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of these texts, in order.

        Raises:
            EmbeddingsUnavailable: no answer, a refusal, or an answer that is none.
        """
        starts = range(0, len(texts), BATCH)
        rows = [row for n in starts for row in self._batch(texts[n : n + BATCH])]
        try:
            vectors = np.asarray(rows, dtype=np.float32).reshape(len(texts), -1)
        except (ValueError, TypeError) as fault:
            raise EmbeddingsUnavailable("vectors of different lengths") from fault
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-9), dtype=np.float32)

    def _batch(self, texts: Sequence[str]) -> list[Any]:
        try:
            answer = self._client.post(self._url, json={"model": self.model, "input": list(texts)})
            answer.raise_for_status()
            entries = sorted(answer.json()["data"], key=lambda entry: entry["index"])
            rows = [entry["embedding"] for entry in entries]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as fault:
            raise EmbeddingsUnavailable(type(fault).__name__) from fault
        if len(rows) != len(texts):
            raise EmbeddingsUnavailable("not a vector for each text")
        return rows


@contextlib.asynccontextmanager
async def embedding(settings: EndpointSettings | None) -> AsyncIterator[Embedder | None]:
    """What makes vectors for the block, or None when no endpoint is set."""
    if settings is None:
        yield None
        return
    with contextlib.closing(EndpointEmbedder(settings)) as embedder:
        yield embedder
