"""Hits and misses of a cache: plain numbers, which the metrics read from time to time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class HitCount:
    hits: int = 0
    misses: int = 0
