"""What a probe found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from gateway.commands.probe.advice import CHANGES, PROXIES
from gateway.commands.probe.faults import (
    Fault,
    added_on_the_way_in,
    lines,
    lost_on_the_way_in,
    lost_on_the_way_out,
)
from gateway.commands.probe.measuring import Measured


def for_people(url: str, seen: Measured, found: Sequence[Fault]) -> str:
    """A table of what was seen; then each fault, and what to change in which proxy."""
    return "\n".join(_told(url, seen, found))


def _told(url: str, seen: Measured, found: Sequence[Fault]) -> Iterator[str]:
    rows = list(lines(seen))
    width = max(len(name) for name, _ in rows)
    yield f"{url}\n"
    for name, told in rows:
        yield f"  {name:<{width}}  {told}"
    if not found:
        yield "\nNothing stands in the way of a stream."
        return
    wide = max(map(len, PROXIES))
    for fault in found:
        yield f"\n{fault.code}: {fault.what}"
        for proxy in PROXIES:
            yield f"  {proxy:<{wide}}  {CHANGES[fault.code][proxy]}"


def problem_for_programs(url: str, problem: str) -> str:
    """Why nothing could be measured, in the place of ``measured``."""
    return json.dumps({"url": url, "faults": [], "error": problem}, indent=2)


def for_programs(url: str, seen: Measured, found: Sequence[Fault]) -> str:
    """One JSON document: ``url``, ``faults`` with what to change, and ``measured``."""
    document: dict[str, Any] = {
        "url": url,
        "faults": [{**asdict(fault), "change": CHANGES[fault.code]} for fault in found],
        "measured": {
            **asdict(seen),
            "headers_lost_in": sorted(lost_on_the_way_in(seen)),
            "headers_added_in": added_on_the_way_in(seen),
            "headers_lost_out": sorted(lost_on_the_way_out(seen)),
        },
    }
    return json.dumps(document, indent=2)
