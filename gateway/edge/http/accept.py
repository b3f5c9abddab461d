"""``Accept`` and ``Accept-Encoding``: what a client prefers, with its weights."""

from __future__ import annotations


def weights(header: str) -> dict[str, float]:
    """Each name in lower case with its weight, 1 where none is given (RFC 9110, 12.4.2).

    A weight that is no number counts as 0: what is not offered for certain is not used.
    """
    found: dict[str, float] = {}
    for item in header.split(","):
        name, *parameters = item.split(";")
        found[name.strip().lower()] = _weight(parameters)
    return found


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(text)
            except ValueError:
                return 0.0
    return 1.0
