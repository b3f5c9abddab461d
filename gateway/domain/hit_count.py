"""How often a cache had what it was asked for: plain numbers, read now and then for a metric."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class HitCount:
    hits: int = 0
    misses: int = 0
