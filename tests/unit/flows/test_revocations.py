"""What one worker ends, all workers of all replicas know; by whichever way is open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import jwt
import pytest

from gateway.adapters.revocation_board import RevocationBoard
from gateway.domain import revocations as rules
from gateway.domain.revocations import ChangedAccount, EndedTokens, text_of
from gateway.domain.tokens import issue
from gateway.errors import (
    Conflict,
    Forbidden,
    InvalidCredentials,
    Overloaded,
    SharedStateUnavailable,
    StorageUnavailable,
    Unauthenticated,
)
from gateway.flows import revocations as module
from gateway.flows.authenticate import Authenticator
from gateway.flows.credentials import Credential
from gateway.flows.keys import Keys
from gateway.flows.login import Login
from gateway.flows.logout import Logout
from gateway.ports import Heard
from tests.unit.identity_fakes import (
    ALICE,
    BOB,
    START,
    Accounts,
    MemoryKeyStore,
    MemoryRevocations,
    MovableClock,
    person,
    revocations_of,
)
from tests.unit.values import MEMORY, token_settings

TOKENS = token_settings(b"x" * 32, lifetime_s=3600)


class Passwords:
    async def verify(
        self,
        password_hash: str | None,
        password: str,
        *,
        group: str,
        in_turn: Callable[[], Awaitable[None]],
    ) -> bool:
        await in_turn()
        return True


class Channel:
    """Announcements in a list, which may be ``down`` or have ``lost`` what nobody repeats."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.down = False
        self.lost = False
        self.news = asyncio.Event()

    async def tell(self, text: str) -> None:
        if self.down:
            raise SharedStateUnavailable
        self.told.append(text)
        self.news.set()

    async def hear(self, position: str, wait_s: float) -> Heard:
        if self.down:
            raise SharedStateUnavailable
        at, missed, self.lost = int(position or 0), self.lost, False
        if at == len(self.told):
            await asyncio.sleep(0)
        return Heard(self.told[at:], str(len(self.told)), missed)


class World:
    """What all replicas have in common."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.store = MemoryRevocations(self.clock)
        self.keys = MemoryKeyStore()


class Worker:
    """One worker of a replica: workers of one have one board."""

    def __init__(
        self, world: World, board: RevocationBoard | None = None, channel: Channel | None = None
    ) -> None:
        self.board = board or RevocationBoard()
        self.accounts = Accounts(ALICE, BOB)
        self.revocations = revocations_of(world.clock, self.board, world.store, channel)
        known = self.revocations.known
        self.authenticator = Authenticator(
            self.accounts, TOKENS, world.keys, world.clock, known, **MEMORY
        )
        self.logout = Logout(self.authenticator, self.revocations, world.clock)
        self.logins = Login(self.accounts, Passwords(), TOKENS, world.clock, known)
        self.keys = Keys(
            world.keys, world.clock, self.revocations, actions=frozenset({"query:run"})
        )

    async def log_in(self) -> Credential:
        return Credential("jwt", (await self.logins.login("alice", "password")).access_token)

    async def log_out(self, credential: Credential, *, all_tokens: bool = False) -> None:
        await self.logout.log_out(credential, soon(), all_tokens=all_tokens)

    async def refusal(self, credential: Credential) -> str | None:
        """Why it is refused; ``None``: it is not."""
        try:
            await self.authenticator.authenticate(credential, soon())
        except Unauthenticated as refused:
            return refused.reason
        return None


def soon() -> float:
    return asyncio.get_running_loop().time() + 60


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for a clock."""
    for name in ("LOOK_S", "LOOK_AT_STORE_S", "TRY_AGAIN_S"):
        monkeypatch.setattr(module, name, 0.0)


@contextmanager
def hearing(*workers: Worker) -> Iterator[None]:
    tasks = [asyncio.create_task(worker.revocations.run()) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def until(true: Any) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0)


# --- logging out ----------------------------------------------------------------------------------


async def test_a_logged_out_token_is_refused_by_all_workers_of_the_replica_at_once(
    world: World,
) -> None:
    """Whether it was used there before or not; and no other token of the user is."""
    board = RevocationBoard()
    first, second, third = (Worker(world, board) for _ in range(3))
    token, other = await first.log_in(), await first.log_in()
    assert await second.refusal(token) is None
    await first.log_out(token)
    for worker in (first, second, third):
        assert await worker.refusal(token) == "token_revoked"
        assert await worker.refusal(other) is None


async def test_a_token_that_was_logged_out_cannot_log_out_again(world: World) -> None:
    """It is refused as it is everywhere."""
    worker = Worker(world)
    token = await worker.log_in()
    await worker.log_out(token)
    with pytest.raises(Unauthenticated):
        await worker.log_out(token)


async def test_logging_out_everywhere_ends_all_tokens_and_none_that_is_issued_since(
    world: World,
) -> None:
    """In the same second, too, which is all that a token says of when it was issued."""
    worker = Worker(world)
    tokens = [await worker.log_in() for _ in range(3)]
    await worker.log_out(tokens[0], all_tokens=True)
    since = await worker.log_in()
    assert [await worker.refusal(token) for token in tokens] == ["token_revoked"] * 3
    assert await worker.refusal(since) is None
    await worker.log_out(since, all_tokens=True)
    assert await worker.refusal(since) == "token_revoked"


async def test_a_clock_that_is_behind_ends_what_one_that_is_ahead_issued(world: World) -> None:
    """A later revocation is one of a later generation, whatever the time is."""
    board = RevocationBoard()
    ahead, behind = Worker(world, board), Worker(world, board)
    await ahead.log_out(await ahead.log_in(), all_tokens=True)
    token = await ahead.log_in()
    world.clock.passed_s = -20.0
    await behind.log_out(token, all_tokens=True)
    assert await ahead.refusal(token) == "token_revoked"


async def test_a_key_cannot_log_out(world: World) -> None:
    """It has no session, and its owner's are not its own."""
    worker = Worker(world)
    _, text = await worker.keys.create(person(ALICE), "key", ["query:run"], None, soon())
    with pytest.raises(Forbidden):
        await worker.log_out(Credential("api_key", text))


async def test_a_logout_that_is_not_durable_is_none(world: World) -> None:
    """It fails, and the client tries again: nothing is acknowledged that a restart forgets."""
    worker = Worker(world)
    token = await worker.log_in()
    world.store.down = True
    with pytest.raises(StorageUnavailable):
        await worker.log_out(token)
    assert await worker.refusal(token) is None


async def test_too_many_ended_tokens_are_refused_in_clear_words_and_none_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account may fill its own share; ending all tokens always works, and makes room."""
    monkeypatch.setattr(rules, "TOKENS_PER_SUBJECT_LIMIT", 2)
    worker = Worker(world)
    ended = [await worker.log_in() for _ in range(2)]
    for token in ended:
        await worker.log_out(token)
    more = await worker.log_in()
    with pytest.raises(Conflict, match="all=true"):
        await worker.log_out(more)
    monkeypatch.setattr(rules, "TOKENS_LIMIT", 0)
    monkeypatch.setattr(rules, "TOKENS_PER_SUBJECT_LIMIT", 100)
    with pytest.raises(Overloaded, match="all=true"):
        await worker.log_out(more)
    assert await worker.refusal(more) is None
    await worker.log_out(more, all_tokens=True)
    for token in (*ended, more):
        assert await worker.refusal(token) == "token_revoked"


# --- keys -----------------------------------------------------------------------------------------


async def test_a_revoked_key_is_refused_by_all_workers_of_the_replica_at_once(
    world: World,
) -> None:
    """However young their look-ups are."""
    board = RevocationBoard()
    first, second = Worker(world, board), Worker(world, board)
    record, text = await first.keys.create(person(ALICE), "key", ["query:run"], None, soon())
    key = Credential("api_key", text)
    assert await second.refusal(key) is None
    await first.keys.revoke("acme", "alice", record.key_id, soon())
    assert await second.refusal(key) == "key_revoked"


async def test_an_old_secret_is_refused_at_once_where_no_overlap_was_asked_for(
    world: World,
) -> None:
    """Its look-up is dropped; the new one works."""
    board = RevocationBoard()
    first, second = Worker(world, board), Worker(world, board)
    record, old = await first.keys.create(person(ALICE), "key", ["query:run"], None, soon())
    assert await second.refusal(Credential("api_key", old)) is None
    _, new = await first.keys.rotate(person(ALICE), record.key_id, 0, soon())
    assert await second.refusal(Credential("api_key", old)) == "key_unknown"
    assert await second.refusal(Credential("api_key", new)) is None


async def test_a_look_up_that_a_revocation_overtook_lets_nobody_in(world: World) -> None:
    """The store read the record before, and answered after; who waits gets the answer of now."""
    board = RevocationBoard()
    first, second = Worker(world, board), Worker(world, board)
    record, text = await first.keys.create(person(ALICE), "key", ["query:run"], None, soon())
    world.keys.held = held = asyncio.Event()
    waiting = asyncio.create_task(second.refusal(Credential("api_key", text)))
    await world.keys.first_asked.wait()
    world.keys.held = None
    await first.keys.revoke("acme", "alice", record.key_id, soon())
    second.revocations.known.catch_up()
    held.set()
    assert await waiting == "key_revoked"


async def test_revoking_a_key_once_more_tells_it_once_more(world: World) -> None:
    """The first time the others may not have been told."""
    worker = Worker(world)
    record, _ = await worker.keys.create(person(ALICE), "key", ["query:run"], None, soon())
    for _ in range(2):
        await worker.keys.revoke("acme", "alice", record.key_id, soon())
    assert worker.board.written == 2


# --- other replicas -------------------------------------------------------------------------------


async def test_another_replica_reads_it_in_the_store(world: World, quick: None) -> None:
    """Without any channel, when its turn to read has come."""
    here, there = Worker(world), Worker(world)
    await there.revocations.begin({})
    token = await here.log_in()
    assert await there.refusal(token) is None
    with hearing(there):
        await here.log_out(token)
        world.clock.passed_s += module.READ_EVERY_S
        await until(lambda: len(there.revocations.known.ledger))
    assert await there.refusal(token) == "token_revoked"


async def test_one_worker_of_a_replica_reads_for_all(world: World, quick: None) -> None:
    """What it finds it writes on the board; and it asks for what is new alone."""
    board = RevocationBoard()
    reader, other, elsewhere = Worker(world, board), Worker(world, board), Worker(world)
    for worker in (reader, other):
        await worker.revocations.begin({})
    token = await elsewhere.log_in()
    await elsewhere.log_out(token)
    world.clock.passed_s += module.READ_EVERY_S
    assert reader.revocations._is_due()
    assert other.revocations._is_due()
    await reader.revocations._save_and_read()
    assert not other.revocations._is_due()
    assert await other.refusal(token) == "token_revoked"
    assert world.store.since == [0, 0, START]


async def test_what_a_worker_that_starts_finds_reaches_those_that_ran_before(
    world: World, quick: None
) -> None:
    """Its first reading is its own: it neither counts for the others nor hides what is in it."""
    board = RevocationBoard()
    before, elsewhere = Worker(world, board), Worker(world)
    await before.revocations.begin({})
    token = await elsewhere.log_in()
    await elsewhere.log_out(token)
    starting = Worker(world, board)
    await starting.revocations.begin({})
    world.clock.passed_s += module.READ_EVERY_S
    assert before.revocations._is_due()
    await starting.revocations._save_and_read()
    assert not before.revocations._is_due()
    assert await before.refusal(token) == "token_revoked"


async def test_a_logged_out_token_from_elsewhere_is_refused_after_all_others_were_ended(
    world: World,
) -> None:
    """It names no generation: the second in which it was issued stands for one."""
    worker = Worker(world)
    await worker.log_out(await worker.log_in(), all_tokens=True)
    world.clock.passed_s += 5
    now = int(world.clock.time())
    whose = {"sub": "alice", "tenant": ALICE.tenant, "roles": sorted(ALICE.roles), "jti": "foreign"}
    when = {"iat": now, "nbf": now, "exp": now + 600}
    where = {"iss": TOKENS.issuer, "aud": TOKENS.audience}
    text = jwt.encode(whose | when | where, TOKENS.secrets[0], "HS256")
    token = Credential("jwt", text)
    assert await worker.refusal(token) is None
    await worker.log_out(token)
    assert await worker.refusal(token) == "token_revoked"


async def test_another_replica_hears_of_it(world: World, quick: None) -> None:
    """Tokens and keys: no clock moves, so that no store is read."""
    channel = Channel()
    here, there = Worker(world, channel=channel), Worker(world, channel=channel)
    await there.revocations.begin({})
    token = await here.log_in()
    record, text = await here.keys.create(person(ALICE), "key", ["query:run"], None, soon())
    key = Credential("api_key", text)
    assert await there.refusal(key) is None
    with hearing(there):
        await until(lambda: there.revocations.hears)
        await here.log_out(token)
        await here.keys.revoke("acme", "alice", record.key_id, soon())
        await until(lambda: there.revocations._position == "2")
    assert await there.refusal(token) == "token_revoked"
    assert await there.refusal(key) == "key_revoked"


@pytest.mark.parametrize("board_is_busy", [False, True])
async def test_what_one_worker_heard_all_of_its_replica_know(
    world: World, quick: None, monkeypatch: pytest.MonkeyPatch, board_is_busy: bool
) -> None:
    """The channel broke before the other one heard of it; the store is read by the first one, to
    which it is no news. On a board that cannot be written to it stands once that is read."""
    board, channel = RevocationBoard(), Channel()
    elsewhere = Worker(world, channel=channel)
    hears, does_not = Worker(world, board, channel), Worker(world, board)
    for worker in (hears, does_not):
        await worker.revocations.begin({})
    token = await elsewhere.log_in()
    await elsewhere.log_out(token)
    with monkeypatch.context() as held:
        if board_is_busy:
            held.setattr(board, "write", _cannot_be_written_to)
        await hears.revocations._hear()
    assert await does_not.refusal(token) == (None if board_is_busy else "token_revoked")
    world.clock.passed_s += module.READ_EVERY_S
    await hears.revocations._save_and_read()
    assert not does_not.revocations._is_due()
    assert await does_not.refusal(token) == "token_revoked"


async def _cannot_be_written_to(_text: str, _deadline: float) -> None:
    raise SharedStateUnavailable


async def test_what_may_have_been_missed_is_asked_for(world: World, quick: None) -> None:
    """Of the store at once, and of no key a look-up of before is believed."""
    channel = Channel()
    here, there = Worker(world), Worker(world, channel=channel)
    await there.revocations.begin({})
    token = await here.log_in()
    record, text = await here.keys.create(person(ALICE), "key", ["query:run"], None, soon())
    key = Credential("api_key", text)
    with hearing(there):
        await until(lambda: there.revocations.hears)
        assert await there.refusal(key) is None
        await here.log_out(token)
        await here.keys.revoke("acme", "alice", record.key_id, soon())
        channel.lost = True
        await until(lambda: len(there.revocations.known.ledger))
    assert await there.refusal(token) == "token_revoked"
    assert await there.refusal(key) == "key_revoked"


async def test_a_channel_that_comes_back_is_heard_from_where_it_stopped(
    world: World, quick: None
) -> None:
    """What was told meanwhile too; and while it is away, that is known."""
    channel = Channel()
    here, there = Worker(world, channel=channel), Worker(world, channel=channel)
    with hearing(there):
        await until(lambda: there.revocations.hears)
        channel.down = True
        await until(lambda: not there.revocations.hears)
        token = await here.log_in()
        await here.log_out(token)
        assert here.revocations.untold == 1
        channel.down = False
        await until(lambda: there.revocations.hears)
        await until(lambda: len(there.revocations.known.ledger))
    assert await there.refusal(token) == "token_revoked"


async def test_a_worker_that_starts_knows_all(world: World) -> None:
    """From the store, and what the store has not from the board."""
    board = RevocationBoard()
    first = Worker(world, board)
    token = await first.log_in()
    await first.log_out(token)
    for started in (Worker(world), Worker(world, board)):
        await started.revocations.begin({})
        assert started.revocations.known.complete
        assert await started.refusal(token) == "token_revoked"


async def test_a_worker_that_starts_while_the_store_is_down_serves_what_it_knows(
    world: World, quick: None
) -> None:
    """Its replica's board at least; and the store when it answers, which is asked until then."""
    board = RevocationBoard()
    first, elsewhere = Worker(world, board), Worker(world)
    here, there = await first.log_in(), await elsewhere.log_in()
    await first.log_out(here)
    await elsewhere.log_out(there)
    world.store.down = True
    started = Worker(world, board)
    await started.revocations.begin({})
    assert not started.revocations.known.complete
    assert await started.refusal(here) == "token_revoked"
    assert await started.refusal(there) is None
    world.store.down = False
    world.clock.passed_s += 1
    with hearing(started):
        await until(lambda: started.revocations.known.complete)
    assert await started.refusal(there) == "token_revoked"


async def test_a_worker_that_missed_something_on_the_board_reads_all_of_the_store(
    world: World, quick: None
) -> None:
    """A burst larger than the board: nothing is forgotten, and no key's look-up believed."""
    board = RevocationBoard(slots=2)
    first, second = Worker(world, board), Worker(world, board)
    await second.revocations.begin({})
    tokens = [await first.log_in() for _ in range(5)]
    for token in tokens:
        await first.log_out(token)
    second.revocations.known.catch_up()
    assert not second.revocations.known.complete
    world.clock.passed_s += 1
    with hearing(second):
        await until(lambda: second.revocations.known.complete)
    assert [await second.refusal(token) for token in tokens] == ["token_revoked"] * 5


async def test_nonsense_in_store_and_channel_harms_nobody(world: World, quick: None) -> None:
    """Another version's words, or what somebody wrote there by hand."""
    channel = Channel()
    closed_for_ever = ChangedAccount("alice", "0" * 32, 253_402_300_799, True, 253_402_300_799)
    channel.told = ["what?", "token.1.2", text_of(closed_for_ever)]
    world.store.kept = [(START, "nonsense")]
    worker = Worker(world, channel=channel)
    await worker.revocations.begin({})
    with hearing(worker):
        await until(lambda: worker.revocations._position == "3")
    assert worker.revocations.known.complete
    world.clock.passed_s = 2.0 * rules.ACCOUNT_CHANGE_S
    assert await worker.refusal(await worker.log_in()) is None


async def test_what_has_expired_is_forgotten_and_removed(world: World, quick: None) -> None:
    """In memory when it has, in the store some time after: clocks may differ."""
    worker = Worker(world)
    await worker.log_out(await worker.log_in())
    world.clock.passed_s = 3600.0
    with hearing(worker):
        await until(lambda: not len(worker.revocations.known.ledger))
        assert world.store.kept
        world.clock.passed_s += module.TIDY_AFTER_S
        await until(lambda: not world.store.kept)


async def test_whatever_fails_in_a_step_the_next_one_is_made(
    world: World, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without them no revocation would be heard of again."""
    here, there = Worker(world), Worker(world)
    await there.revocations.begin({})
    monkeypatch.setattr(there.board, "read", lambda since: 1 / 0)
    token = await here.log_in()
    await there.board.write("key", soon())
    with hearing(there):
        await here.log_out(token)
        world.clock.passed_s += module.READ_EVERY_S
        await until(lambda: len(there.revocations.known.ledger))


# --- accounts -------------------------------------------------------------------------------------


async def edit(worker: Worker, subject: str, **changes: Any) -> None:
    """Puts the account into this replica's users file, and lets the others know."""
    before = dict(worker.accounts.users)
    if changes:
        worker.accounts.put(replace(before[subject], **changes))
    else:
        worker.accounts.drop(subject)
    worker.revocations.accounts_changed(before, worker.accounts.users)
    await worker.revocations._save_and_read()


async def heard_by(worker: Worker, world: World) -> None:
    world.clock.passed_s += module.READ_EVERY_S
    await worker.revocations._save_and_read()


@pytest.mark.parametrize(
    "changes", [{"disabled": True, "tokens_valid_after": int(START)}, {"tenant": "other"}, {}]
)
async def test_a_user_disabled_at_one_replica_is_refused_at_another_whose_file_is_behind(
    world: World, quick: None, changes: dict[str, Any]
) -> None:
    """His token, his key, and his login; until that file says so, or for ten minutes."""
    here, there = Worker(world), Worker(world)
    await there.revocations.begin({})
    token = await there.log_in()
    _, text = await there.keys.create(person(ALICE), "key", ["query:run"], None, soon())
    key = Credential("api_key", text)
    await edit(here, "alice", **changes)
    await heard_by(there, world)
    assert await there.refusal(token) == "user_disabled"
    assert await there.refusal(key) == "user_disabled"
    with pytest.raises(InvalidCredentials):
        await there.log_in()
    world.clock.passed_s += rules.ACCOUNT_CHANGE_S
    assert await there.refusal(token) is None


async def test_a_file_that_has_caught_up_decides_again(world: World, quick: None) -> None:
    """Also one that has a later edit already, such as enabling the user again."""
    here, there = Worker(world), Worker(world)
    await there.revocations.begin({})
    await edit(here, "alice", disabled=True, tokens_valid_after=int(START))
    await heard_by(there, world)
    with pytest.raises(InvalidCredentials):
        await there.log_in()
    there.accounts.put(replace(ALICE, tokens_valid_after=int(START) + 5))
    assert await there.refusal(await there.log_in()) is None


async def test_another_password_at_one_replica_ends_tokens_at_another(
    world: World, quick: None
) -> None:
    """And the old password gives out no new one; keys go on."""
    here, there = Worker(world), Worker(world)
    await there.revocations.begin({})
    token = await there.log_in()
    _, text = await there.keys.create(person(ALICE), "key", ["query:run"], None, soon())
    await edit(here, "alice", password_hash="new", password_changed_at=int(START))
    await heard_by(there, world)
    assert await there.refusal(token) == "superseded"
    assert await there.refusal(Credential("api_key", text)) is None
    with pytest.raises(InvalidCredentials):
        await there.log_in()


async def test_a_replica_that_starts_with_a_newer_file_tells_those_that_have_an_older_one(
    world: World, quick: None
) -> None:
    """As in a roll-out, where only new replicas get the new file; what was edited long ago is known
    to all."""
    started, there = Worker(world), Worker(world)
    await there.revocations.begin({})
    token = await there.log_in()
    disabled = replace(ALICE, disabled=True, tokens_valid_after=int(START) - 60)
    bob = replace(BOB, password_hash="new", password_changed_at=int(START) - 7200)
    started.accounts = Accounts(disabled, bob)
    await started.revocations.begin(started.accounts.users)
    await started.revocations._save_and_read()
    await heard_by(there, world)
    assert await there.refusal(token) == "user_disabled"
    assert list(there.revocations.known.ledger.accounts) == ["alice"]


async def test_a_change_is_told_by_one_worker_and_tried_until_it_is_kept(
    world: World, quick: None
) -> None:
    """Every worker of a replica reads the file, and every replica may have it."""
    board = RevocationBoard()
    workers = [Worker(world, board) for _ in range(2)]
    for worker in workers:
        await worker.revocations.begin({})
    world.store.down = True
    await edit(workers[0], "alice", disabled=True)
    assert workers[0].revocations._unsaved
    world.store.down = False
    await edit(workers[1], "alice", disabled=True)
    await workers[0].revocations._save_and_read()
    assert len(world.store.kept) == 1
    assert not workers[0].revocations._unsaved


async def test_a_stream_that_runs_is_looked_at_when_something_is_revoked(world: World) -> None:
    """Whoever asked to be told is, once for each thing that is new."""
    board = RevocationBoard()
    first, second = Worker(world, board), Worker(world, board)
    woken: list[int] = []
    second.revocations.known.on_change(lambda: woken.append(1))
    token = await first.log_in()
    retained = second.authenticator.retain(token)
    assert second.authenticator.is_unchanged(retained)
    await first.log_out(token)
    assert not second.authenticator.is_unchanged(retained)
    assert woken == [1]
    await board.write(text_of(EndedTokens("alice", 1, 1)), soon())
    second.revocations.known.catch_up()
    assert woken == [1]


def test_a_token_names_its_generation_only_where_there_is_one() -> None:
    """Those of before are as they were."""
    import jwt

    for generation, named in ((0, None), (7, 7)):
        token = issue(ALICE, START, TOKENS, generation=generation).access_token
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims.get("gen") == named
