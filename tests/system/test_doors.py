"""Every door on real components: a real OPA, a real store of keys and revocations, a real core."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from devstack.stack import Stack
from tests.edge.doors import DOORS, Credential, Door, Progress, Told

from .conftest import GRPC_PORT, People
from .people import Person

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("stack"),
    pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys()),
]
# A core that reads, ranks and words an answer takes its time on a busy machine.
LIMIT_S = 60.0


@dataclass
class Place:
    """Where the stack's gateway is."""

    address: tuple[str, int]
    grpc_port: int
    trust: None = None


async def asked(door: Door, stack: Stack, credential: Credential, query: str = "hi") -> Told:
    found = urlsplit(stack.base_url)
    where = Place((str(found.hostname), int(found.port or 0)), GRPC_PORT)
    async with asyncio.timeout(LIMIT_S):
        return await door.ask(where, credential, Progress(blind=door.blind), query)


def bearing(person: Person) -> dict[str, str]:
    return {"Authorization": person.http.headers["Authorization"]}


async def new_key(person: Person, *scopes: str) -> tuple[str, dict[str, str]]:
    made = await person.call("POST", "/api/v1/keys", json={"name": "k", "scopes": list(scopes)})
    told: dict[str, Any] = made.json()
    return told["key_id"], {"X-API-Key": told["secret"]}


SECRETS = {"alice": "wombat-of-acme-4402", "carol": "wombat-of-other-9917"}


async def test_users_of_two_tenants_see_their_own_documents_alone(
    door: Door, stack: Stack, people: People
) -> None:
    """The same question, asked by both: each answer draws on what its asker uploaded."""
    ids = {}
    for name, secret in SECRETS.items():
        text = f"The wombat password at the {door.name} door is {secret}."
        ids[name] = await (await people(name)).add(text.encode(), f"wombat-{door.name}.txt")
    for name, other in (("alice", "carol"), ("carol", "alice")):
        question = f"What is the wombat password at the {door.name} door?"
        told = await asked(door, stack, bearing(await people(name)), question)
        assert told.ends == "done", told
        assert SECRETS[name].encode() in told.raw
        assert SECRETS[other].encode() not in told.raw
        assert ids[other].encode() not in told.raw


async def test_who_is_not_known_or_may_not_is_refused(
    door: Door, stack: Stack, people: People
) -> None:
    """Each fault of a credential by its code, and a key whose scopes do not reach so far."""
    alice = await people("alice")
    good, key = bearing(alice), (await new_key(alice, "query:run"))[1]
    elsewhere = await Person(stack.base_url, "alice", "acme").log_in()
    ended = bearing(elsewhere)
    await elsewhere.http.post("/api/v1/auth/logout")
    await elsewhere.aclose()
    revoked_id, revoked = await new_key(alice, "query:run")
    await alice.http.delete(f"/api/v1/keys/{revoked_id}")
    head, _, _ = good["Authorization"].rpartition(".")
    faults: dict[str, tuple[Credential, str]] = {
        "missing": ({}, "UNAUTHENTICATED"),
        "malformed": ({"Authorization": "Bearer nonsense"}, "UNAUTHENTICATED"),
        "wrong signature": ({"Authorization": f"{head}.{'A' * 43}"}, "UNAUTHENTICATED"),
        "logged out": (ended, "UNAUTHENTICATED"),
        "revoked key": (revoked, "UNAUTHENTICATED"),
        "ambiguous": ({**good, **key}, "AMBIGUOUS_CREDENTIALS"),
        "a key for something else": ((await new_key(alice, "auth:me"))[1], "FORBIDDEN"),
    }
    for name, (credential, code) in faults.items():
        told = await asked(door, stack, credential)
        assert (told.ends, told.events) == (code, []), name
    for credential in (good, key):
        assert (await asked(door, stack, credential)).ends == "done"
