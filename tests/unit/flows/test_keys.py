"""Keys as their owner handles them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.actions import ACTIONS
from gateway.domain.api_keys import (
    OVERLAP_LIMIT_S,
    SECRETS_LIMIT,
    KeyRecord,
    matching_secret,
    new_key_id,
    parse_key,
)
from gateway.errors import Conflict, Forbidden, NotFound, StorageUnavailable, ValidationFailed
from gateway.flows.keys import Keys
from gateway.ports import Deadline
from tests.unit.identity_fakes import (
    ALICE,
    BOB,
    START,
    MemoryKeyStore,
    MovableClock,
    person,
    revocations_of,
)

SOON: Deadline = float("inf")
SCOPES = ["query:run"]


@pytest.fixture
def store() -> MemoryKeyStore:
    return MemoryKeyStore()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def keys(store: MemoryKeyStore, clock: MovableClock) -> Keys:
    return Keys(store, clock, revocations_of(clock), actions=ACTIONS, keys_per_owner=3)


async def made(keys: Keys, expires_in_s: int | None = None) -> tuple[KeyRecord, str]:
    return await keys.create(person(ALICE), "laptop", SCOPES, expires_in_s, SOON)


def opens(record: KeyRecord, text: str, at: float) -> bool:
    parsed = parse_key(text)
    assert parsed is not None
    secret = matching_secret(record, parsed.secret)
    return secret is not None and (secret.expires_at is None or at < secret.expires_at)


async def test_a_new_key_is_its_makers_and_opens_with_the_text_shown(
    keys: Keys, store: MemoryKeyStore
) -> None:
    """The owner is the caller, never a wish; the secret is in no record."""
    record, text = await made(keys, expires_in_s=60)
    assert (record.tenant, record.owner, record.name) == ("acme", "alice", "laptop")
    assert record.expires_at == START + 60
    assert opens(store.kept[record.key_id].record, text, START)
    parsed = parse_key(text)
    assert parsed is not None
    assert parsed.secret not in str(store.kept)


@pytest.mark.parametrize("scope", ["keys:create", "keys:rotate", "no:such"])
async def test_a_key_never_gets_a_scope_that_makes_keys(keys: Keys, scope: str) -> None:
    """Nor one that does not exist."""
    with pytest.raises(ValidationFailed) as caught:
        await keys.create(person(ALICE), "laptop", ["query:run", scope], None, SOON)
    assert set(caught.value.details["fields"]) == {"scopes[1]"}


async def test_a_key_cannot_make_or_rotate_a_key(keys: Keys) -> None:
    """Even if the policy let it."""
    record, _ = await made(keys)
    caller = replace(person(ALICE), auth="api_key", scopes=frozenset(ACTIONS))
    with pytest.raises(Forbidden):
        await keys.create(caller, "another", SCOPES, None, SOON)
    with pytest.raises(Forbidden):
        await keys.rotate(caller, record.key_id, 0, SOON)


async def test_keys_are_listed_newest_first_and_to_their_owner_alone(
    keys: Keys, clock: MovableClock
) -> None:
    """Dead ones too, so that one sees what happened."""
    first, _ = await made(keys)
    clock.passed_s += 1
    second, _ = await made(keys)
    await keys.revoke("acme", "alice", first.key_id, SOON)

    listed = await keys.list("acme", "alice", SOON)

    assert [record.key_id for record in listed] == [second.key_id, first.key_id]
    assert listed[1].revoked_at == START + 1
    assert await keys.list("acme", "bob", SOON) == []
    assert await keys.list("other", "alice", SOON) == []


async def test_revoking_twice_is_revoking_once(keys: Keys, clock: MovableClock) -> None:
    """The second time changes nothing, not even the date."""
    record, _ = await made(keys)
    await keys.revoke("acme", "alice", record.key_id, SOON)
    clock.passed_s += 60
    await keys.revoke("acme", "alice", record.key_id, SOON)
    assert (await keys.list("acme", "alice", SOON))[0].revoked_at == START


@pytest.mark.parametrize("owner", [("acme", "bob"), ("other", "alice")])
async def test_somebody_elses_key_does_not_exist(keys: Keys, owner: tuple[str, str]) -> None:
    """Neither to revoke nor to rotate, and it stays as it was."""
    record, _ = await made(keys)
    with pytest.raises(NotFound):
        await keys.revoke(*owner, record.key_id, SOON)
    with pytest.raises(NotFound):
        await keys.rotate(
            replace(person(BOB), tenant=owner[0], subject=owner[1]), record.key_id, 0, SOON
        )
    assert await keys.list("acme", "alice", SOON) == [record]


@pytest.mark.parametrize(
    "key_id",
    ["", "../keys", "A" * 16, new_key_id() + "x", "x" * 5000],
    ids=["empty", "path", "upper case", "one too many", "long"],
)
async def test_a_misspelled_id_is_not_looked_up(
    keys: Keys, store: MemoryKeyStore, key_id: str
) -> None:
    """It names nothing, and never becomes part of an object key."""
    with pytest.raises(NotFound):
        await keys.revoke("acme", "alice", key_id, SOON)
    assert store.asked == []


async def test_rotation_gives_a_new_secret_and_lets_the_old_one_live_for_the_overlap(
    keys: Keys,
) -> None:
    """Same key, two secrets, until the overlap is over."""
    record, old = await made(keys)
    after, new = await keys.rotate(person(ALICE), record.key_id, 60, SOON)
    assert after.key_id == record.key_id
    assert new != old
    assert opens(after, old, START + 59)
    assert not opens(after, old, START + 60)
    assert opens(after, new, START + 10**9)


async def test_a_rotation_that_meets_another_change_is_a_conflict(
    keys: Keys, store: MemoryKeyStore
) -> None:
    """Of two rotations one wins; the other's secret was never shown and opens nothing."""
    record, old = await made(keys)
    change_meanwhile(store, record.key_id)
    with pytest.raises(Conflict):
        await keys.rotate(person(ALICE), record.key_id, 60, SOON)
    assert store.kept[record.key_id].record.secrets == record.secrets
    assert opens(store.kept[record.key_id].record, old, START + 10**9)


async def test_a_dead_key_is_not_rotated(keys: Keys, clock: MovableClock) -> None:
    """Revoked or expired is for good."""
    revoked, _ = await made(keys)
    expired, _ = await made(keys, expires_in_s=10)
    await keys.revoke("acme", "alice", revoked.key_id, SOON)
    clock.passed_s += 10
    for record in (revoked, expired):
        with pytest.raises(Conflict):
            await keys.rotate(person(ALICE), record.key_id, 60, SOON)


@pytest.mark.parametrize("overlap_s", [-1, OVERLAP_LIMIT_S + 1])
async def test_an_overlap_has_bounds(keys: Keys, overlap_s: int) -> None:
    """Nothing negative, and a week at most."""
    record, _ = await made(keys)
    with pytest.raises(ValidationFailed):
        await keys.rotate(person(ALICE), record.key_id, overlap_s, SOON)


async def test_rotating_on_and_on_ends_in_a_conflict_that_a_hard_rotation_clears(
    keys: Keys,
) -> None:
    """Secrets in overlap are bounded; overlap 0 ends them all."""
    record, _ = await made(keys)
    for _ in range(SECRETS_LIMIT - 1):
        await keys.rotate(person(ALICE), record.key_id, 60, SOON)
    with pytest.raises(Conflict):
        await keys.rotate(person(ALICE), record.key_id, 60, SOON)
    after, _ = await keys.rotate(person(ALICE), record.key_id, 0, SOON)
    assert len(after.secrets) == 1


async def test_a_revocation_that_meets_another_change_wins(
    keys: Keys, store: MemoryKeyStore
) -> None:
    """It reads again and repeats: a key to be revoked must not survive a race."""
    record, _ = await made(keys)
    change_meanwhile(store, record.key_id)
    await keys.revoke("acme", "alice", record.key_id, SOON)
    after = store.kept[record.key_id].record
    assert after.revoked_at is not None
    assert after.name == "renamed meanwhile"


async def test_a_revocation_wins_against_changes_that_never_end(
    keys: Keys, store: MemoryKeyStore
) -> None:
    """Rotations in a loop keep no key alive; the one that was under way has lost."""
    record, _ = await made(keys)
    replace_now = store.replace

    async def always_too_late(changed: KeyRecord, version: str, deadline: Deadline) -> None:
        store.edit(record.key_id, name="renamed meanwhile")
        await replace_now(changed, version, deadline)

    store.replace = always_too_late  # type: ignore[method-assign]
    under_way = store.kept[record.key_id]
    await keys.revoke("acme", "alice", record.key_id, SOON)
    assert store.kept[record.key_id].record.revoked_at is not None
    with pytest.raises(Conflict):
        await replace_now(under_way.record, under_way.version, SOON)


def change_meanwhile(store: MemoryKeyStore, key_id: str) -> None:
    """Lets another replica's change slip in just before the next one of ours."""
    replace_now = store.replace

    async def replace_too_late(changed: KeyRecord, version: str, deadline: Deadline) -> None:
        store.replace = replace_now  # type: ignore[method-assign]
        store.edit(key_id, name="renamed meanwhile")
        await replace_now(changed, version, deadline)

    store.replace = replace_too_late  # type: ignore[method-assign]


async def test_living_keys_are_limited_and_dead_ones_make_room(
    keys: Keys, clock: MovableClock
) -> None:
    """The oldest dead key goes when a new one is made at the limit."""
    records = []
    for _ in range(3):
        records.append((await made(keys))[0])
        clock.passed_s += 1
    with pytest.raises(Conflict):
        await made(keys)
    await keys.revoke("acme", "alice", records[1].key_id, SOON)
    fresh, _ = await made(keys)
    listed = {record.key_id for record in await keys.list("acme", "alice", SOON)}
    assert listed == {records[0].key_id, records[2].key_id, fresh.key_id}


async def test_of_two_dead_keys_the_older_one_makes_room(keys: Keys, clock: MovableClock) -> None:
    """Whoever looks into what happened of late still finds the key that was revoked last."""
    records = []
    for _ in range(3):
        records.append((await made(keys))[0])
        clock.passed_s += 1
    for revoked in (records[2], records[0]):
        await keys.revoke("acme", "alice", revoked.key_id, SOON)
    fresh, _ = await made(keys)
    listed = {record.key_id for record in await keys.list("acme", "alice", SOON)}
    assert listed == {records[1].key_id, records[2].key_id, fresh.key_id}


async def test_a_store_out_of_reach_is_said_so(keys: Keys, store: MemoryKeyStore) -> None:
    """503, not "no such key"."""
    record, _ = await made(keys)
    store.down = True
    with pytest.raises(StorageUnavailable):
        await keys.revoke("acme", "alice", record.key_id, SOON)
