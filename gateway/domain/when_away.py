"""What a replica does by itself while the Redis that all of them count in is away.

``WHEN_AWAY`` is the whole answer; code, readiness and documentation follow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final, NamedTuple

from gateway.domain.limits import Charge, Lease, Outcome, Penalty, Rate

# Each replica says every ANNOUNCE_S that it is there; one not heard of for this long is gone.
REPLICA_LIFE_S: Final = 15.0
ANNOUNCE_S: Final = 5.0
# How often Redis is tried again: at first soon, at the latest after this.
RETRY_FIRST_S: Final = 0.1
RETRY_LONGEST_S: Final = 2.0
# For so long after its own return a replica keeps to its share too: until all others are back.
REJOIN_S: Final = 5.0


class WhenAway(StrEnum):
    """What becomes of a feature."""

    SHARE = "in this replica's memory, each limit divided by the replicas last seen"
    ASKED_AGAIN = "look-ups older than 5 s are made again"
    LET_IN = "nobody is refused; what answers cost waits in each worker"


WHEN_AWAY: Final[Mapping[str, WhenAway]] = {
    "limits": WhenAway.SHARE,
    "open streams": WhenAway.SHARE,
    "delays after failed logins": WhenAway.SHARE,
    "revocation": WhenAway.ASKED_AGAIN,
    "quotas": WhenAway.LET_IN,
}


def told() -> str:
    """``WHEN_AWAY`` in one line, for readiness and the log."""
    return "; ".join(
        f"{', '.join(name for name, how in WHEN_AWAY.items() if how is way)}: {way}"
        for way in WhenAway
    )


def share_of_charge(charge: Charge, replicas: int) -> Charge:
    """Its rate and burst divided; what would have passed alone still does, however small a share.

    A replica's share takes as many seconds to be whole again as all of it, so that what one knows
    of a key, in seconds, is true for the other as well.
    """
    rate = charge.rate
    least = charge.cost if charge.cost <= rate.burst else 1
    burst = max(rate.burst // replicas, least, 1)
    return replace(charge, rate=Rate(rate.count, rate.period_s * replicas, burst))


class Owed(NamedTuple):
    """What a replica that is back knows of a key and Redis does not, in seconds of the whole limit.

    Attributes:
        least_s: the key is not whole again before that, if all others were as its own share.
        beside_s: at most so much passed here beside what the others have told or charged since.
    """

    least_s: float
    beside_s: float


def owed(share: Charge, looked: Outcome, replicas: int) -> Owed:
    """Of a key's share, when it was looked at and not charged.

    What all replicas let through makes the key owe no more than the mean of what their shares owe,
    so it would do to add a part of each one's. But those that came back earlier charged Redis
    meanwhile, and Redis forgets a second in a second where a share forgets only its part of it: by
    so much each part is larger, for as long as some may be back before others.
    """
    least_s = looked.reset_s - share.rate.interval_s * share.cost * looked.passed
    return Owed(least_s, (least_s + REJOIN_S) / replicas if replicas > 1 else 0.0)


def share_of_lease(lease: Lease, replicas: int) -> Lease:
    return replace(lease, most=max(lease.most // replicas, min(lease.most, 1)))


def share_of_penalty(penalty: Penalty, replicas: int) -> Penalty:
    """Fewer failures are free; the delays stay, so that no owner is locked out for longer."""
    return replace(penalty, free=max(penalty.free // replicas, min(penalty.free, 1)))
