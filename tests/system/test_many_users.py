"""Twenty users in three tenants at once over two workers: nobody sees a byte of anybody else's."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from .conftest import People
from .people import Person

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

USERS = 20
# How long they keep at it, in seconds; shorter or longer by hand with SOAK_S.
SOAK_S = float(os.environ.get("SOAK_S", "60"))


def secret_of(who: Person) -> bytes:
    return f"codeword-of-{who.name}-in-{who.tenant}-end".encode()


async def work(who: Person, secrets: list[bytes], until_s: float) -> tuple[int, list[str]]:
    """Uploads, asks and lists until the time is over; gives rounds made and what went wrong."""
    faults: list[str] = []
    rounds = 0
    mine = secret_of(who)
    while time.monotonic() < until_s or rounds == 0:
        text = b"The lighthouse keeper's word is " + mine + b". Round %d." % rounds
        document_id = await who.add(text, f"{rounds}.txt")
        answer = await who.ask("What is the lighthouse keeper's word?")
        listing = await who.call("GET", "/api/v1/documents")
        if answer.status != 200 or answer.events[-1][0] != "done":
            faults.append(f"{who.name}: query ended {answer.status} {answer.events[-1:]}")
        if mine not in answer.raw:
            faults.append(f"{who.name}: own word missing")
        if listing.status_code != 200 or document_id not in listing.text:
            faults.append(f"{who.name}: listing {listing.status_code}")
        seen = answer.raw + listing.content
        faults += [f"{who.name} saw {other!r}" for other in secrets if other in seen]
        rounds += 1
    return rounds, faults


async def test_twenty_users_never_see_each_other(people: People) -> None:
    """Every answer and listing is searched for every other user's word."""
    users = [await people(f"user-{n}") for n in range(USERS)]
    until_s = time.monotonic() + SOAK_S
    results = await asyncio.gather(
        *(
            work(who, [secret_of(other) for other in users if other is not who], until_s)
            for who in users
        )
    )
    assert [fault for _, faults in results for fault in faults] == []
    again = sum(len(who.asked_again) for who in users)
    print(f"{sum(rounds for rounds, _ in results)} rounds by {USERS} users, {again} calls repeated")
