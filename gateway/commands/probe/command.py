"""The command itself: its arguments, and what it ends with."""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from pathlib import Path

from gateway.commands.probe import report
from gateway.commands.probe.faults import faults
from gateway.commands.probe.measuring import Prober, Refused
from gateway.commands.probe.wire import Place, Unreachable

OK, FAULT, USAGE = 0, 1, 2
TOKEN = "GATEWAY_PROBE_TOKEN"


def run(parsed: argparse.Namespace, token: str) -> int:
    """0 where nothing is in the way, 1 where something is or nothing could be seen, 2 usage."""
    try:
        place = Place.of(parsed.url)
        prober = Prober(
            place, _credential(parsed, token), silence_s=parsed.silence, trust=_trust(parsed)
        )
    except (ValueError, OSError) as problem:
        print(f"gateway probe: {problem}", file=sys.stderr)
        return USAGE
    try:
        seen = asyncio.run(prober.measure())
    except (Unreachable, Refused) as problem:
        print(f"gateway probe: {problem}", file=sys.stderr)
        if parsed.json:
            print(report.problem_for_programs(parsed.url, str(problem)))
        return FAULT
    found = faults(seen)
    say = report.for_programs if parsed.json else report.for_people
    print(say(parsed.url, seen, found))
    return FAULT if found else OK


def _credential(parsed: argparse.Namespace, token: str) -> dict[str, str]:
    """A token or an API key, which may stand as a bearer, too. Never an argument: `ps` shows those.

    Raises:
        ValueError: there is none.
        OSError: its file cannot be read.
    """
    if parsed.token_file is not None:
        from_stdin = str(parsed.token_file) == "-"
        token = sys.stdin.readline() if from_stdin else parsed.token_file.read_text("utf-8")
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise ValueError(f"a token or an API key is needed: --token-file FILE, or ${TOKEN}")
    return {"Authorization": f"Bearer {token}"}


def _trust(parsed: argparse.Namespace) -> ssl.SSLContext | None:
    ca: Path | None = parsed.ca
    return None if ca is None else ssl.create_default_context(cafile=str(ca))
