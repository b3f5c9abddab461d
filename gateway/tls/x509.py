"""The two dates of a certificate, the only part that the gateway reads itself.

Python's ``ssl`` gives them for a peer's certificate only, and a parser for all of X.509 would be a
dependency for two dates. They are easy to reach (RFC 5280, 4.1): the certificate is a sequence
whose first member is the sequence of version (optional), serial number, algorithm, issuer and then
the two dates.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_BEFORE_VALIDITY = 3  # serial number, algorithm, issuer


class Validity(NamedTuple):
    """Seconds since the epoch."""

    not_before: float
    not_after: float


def validity(der: bytes) -> Validity:
    """When the certificate ``der`` is valid. Raises ``ValueError`` if it is no certificate."""
    certificate = _inside(der, 0, _SEQUENCE)
    body = _inside(certificate, 0, _SEQUENCE)
    at = _after(body, 0) if body[:1] == bytes([_VERSION]) else 0
    for _ in range(_BEFORE_VALIDITY):
        at = _after(body, at)
    dates = _inside(body, at, _SEQUENCE)
    return Validity(_time(dates, 0), _time(dates, _after(dates, 0)))


def _bounds(data: bytes, at: int) -> tuple[int, int]:
    """Where the value of the element at ``at`` begins and ends (X.690, 8.1.3)."""
    if at + 2 > len(data):
        raise ValueError("the certificate is cut short")
    length, start = data[at + 1], at + 2
    if length >= 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise ValueError("the certificate is cut short")
    return start, start + length


def _inside(data: bytes, at: int, tag: int) -> bytes:
    start, end = _bounds(data, at)
    if data[at] != tag:
        raise ValueError("not a certificate")
    return data[start:end]


def _after(data: bytes, at: int) -> int:
    return _bounds(data, at)[1]


def _time(data: bytes, at: int) -> float:
    """RFC 5280, 4.1.2.5: the year has two digits until 2049 and four later; always in UTC."""
    start, end = _bounds(data, at)
    text = data[start:end].decode("ascii")
    if data[at] == _UTC_TIME:
        text = ("20" if text[:2] < "50" else "19") + text
    elif data[at] != _GENERALIZED_TIME:
        raise ValueError("not a date")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
