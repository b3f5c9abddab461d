"""The parts of the stack: their names, what they do, and how long they may take to start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Part = Literal["opa", "s3", "temporal", "redis", "core", "worker", "gateway"]
ALL_PARTS: tuple[Part, ...] = ("opa", "s3", "temporal", "redis", "core", "worker", "gateway")
# What the gateway cannot do without; without Redis it counts in its own memory.
PARTS: tuple[Part, ...] = tuple(part for part in ALL_PARTS if part != "redis")

DOES: Mapping[Part, str] = {
    "opa": "decides who may do what",
    "s3": "keeps the uploaded files and the API keys' hashes",
    "temporal": "runs a workflow for each upload",
    "redis": "counts limits for all replicas together",
    "core": "LlamaIndex: finds passages and writes the answer",
    "worker": "Temporal worker: reads, splits and indexes uploads",
    "gateway": "the API",
}
# LlamaIndex's imports take seconds where the disk is cold; nothing else comes near its limit.
START_LIMIT_S: Mapping[Part, float] = {
    "opa": 20,
    "s3": 30,
    "temporal": 30,
    "redis": 30,
    "core": 90,
    "worker": 90,
    "gateway": 60,
}


@dataclass(frozen=True, slots=True)
class PartInfo:
    """A line of the table: what runs as a part. ``address`` is ``None`` if it does not listen."""

    name: Part
    product: str
    kind: Literal["real", "embedded"]
    version: str
    address: str | None
    note: str
