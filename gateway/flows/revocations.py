"""Ending credentials everywhere, and hearing what others ended.

A revocation travels three ways, and each is there for what another cannot do:

- the **store** (the keys' bucket) keeps it until it ends nothing any more. It is read in full when
  a worker starts, and what is new every ``READ_EVERY_S`` by one worker of each replica, whatever
  else works: that alone brings a revocation to all replicas within 5 s;
- the **board**, in memory, brings it to the other workers of this replica at once;
- **announcements** (Redis), where there are any, bring it to other replicas at once; what one
  worker hears it puts on the board, too.

``end`` returns when all who can be reached have been told. A key's change is in its record, so that
it is announced only: who does not hear of it has the record looked up again within 5 s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import structlog

from gateway.domain.identity import User
from gateway.domain.revocations import (
    ChangedAccount,
    ChangedKey,
    Revocation,
    account_as_found,
    account_change,
    changed_accounts,
    expires_at,
    revocation_of,
    text_of,
)
from gateway.errors import GatewayError, SharedStateUnavailable, StorageUnavailable
from gateway.flows.known_revocations import KnownRevocations
from gateway.ports import Announcements, Board, Clock, Deadline, RevocationStore

log = structlog.get_logger("gateway.revocations")

# Between the starts of two readings; with ``LOOK_AT_STORE_S`` and ``READ_LIMIT_S`` below 5 s.
READ_EVERY_S: Final = 3.0
READ_LIMIT_S: Final = 1.5
# How often is looked for something to do: on the board, which costs next to nothing, and else.
LOOK_S: Final = 0.1
LOOK_AT_STORE_S: Final = 0.25
TRY_AGAIN_S: Final = 0.5
# How long a worker that starts waits for the store. One that starts in vain serves what it knows
# from the board and from announcements: no outage of the store ends everybody's login. Until the
# store answers, it may take a token for good that was ended before this replica started.
FIRST_READ_LIMIT_S: Final = 2.0
TELL_LIMIT_S: Final = 0.5
# How often the announcements are asked for news; without an answer for ``TELL_LIMIT_S`` they are
# taken to be away.
HEAR_S: Final = 0.2
FORGET_EVERY_S: Final = 60.0
TIDY_EVERY_S: Final = 900.0
TIDY_LIMIT_S: Final = 60.0
# Objects stay for a while longer: another replica's clock may be behind.
TIDY_AFTER_S: Final = 3600.0
# Of accounts that one edit of the users file changed.
ACCOUNTS_AT_ONCE: Final = 1000
# Of a replica that starts: whose accounts it tells of.
CHANGED_LATELY_S: Final = 3600.0
CHANGED_LATELY_LIMIT: Final = 100


class Revocations:
    """One worker's part in it.

    Attributes:
        hears: whether the announcements work now; never where there are none.
        untold: how many revocations could not be announced.
    """

    def __init__(
        self,
        known: KnownRevocations,
        store: RevocationStore,
        board: Board,
        clock: Clock,
        announcements: Announcements | None = None,
    ) -> None:
        self.known = known
        self.hears = False
        self.untold = 0
        self._store = store
        self._board = board
        self._clock = clock
        self._announcements = announcements
        self._started_at = self._heard_at = clock.monotonic()
        self._reads = True
        self._since = 0.0
        self._position = ""
        self._tried_at = float("-inf")
        self._forgot_at = self._tidied_at = clock.monotonic()
        self._asked_to_read = False
        # What this worker learned, and the others may not have been told.
        self._untold_here: set[str] = set()
        # Changes of accounts that are not in the store yet.
        self._unsaved: dict[str, ChangedAccount] = {}

    @property
    def store_age_s(self) -> float:
        """How long ago the latest reading of the store began that succeeded, or this worker."""
        return self._clock.monotonic() - (self._board.store_read_at or self._started_at)

    @property
    def unheard_s(self) -> float | None:
        """How long ago the announcements answered last; ``None``: there are none."""
        return None if self._announcements is None else self._clock.monotonic() - self._heard_at

    @property
    def counts(self) -> Iterable[tuple[str, int]]:
        """How many revocations are known, by kind."""
        ledger = self.known.ledger
        return (
            ("token", len(ledger.tokens)),
            ("all_tokens", len(ledger.generations)),
            ("account", len(ledger.accounts)),
        )

    async def end(self, revocation: Revocation, deadline: Deadline) -> None:
        """Ends it for every worker of this replica, and tells the others.

        Raises:
            StorageUnavailable: it is not ended for good; it may be in part.
            SharedStateUnavailable: the other workers cannot be told; trying again does no harm.
        """
        text = text_of(revocation)
        if not isinstance(revocation, ChangedKey):
            await self._store.add(text, deadline)
        await self._tell(text, deadline)

    async def _tell(self, text: str, deadline: Deadline) -> None:
        await self._board.write(text, deadline)
        self.known.catch_up()
        if self._announcements is None:
            return
        try:
            async with asyncio.timeout(TELL_LIMIT_S):
                await self._announcements.tell(text)
        except (SharedStateUnavailable, TimeoutError) as exc:
            # It stands in the store, and the others read that within 5 s: no reason to fail.
            self.untold += 1
            log.warning("revocation not announced", reason=type(exc).__name__)

    async def key_changed(self, key_id: str, deadline: Deadline) -> None:
        """After its record was written. Raises ``SharedStateUnavailable``."""
        await self.end(ChangedKey(key_id), deadline)

    # --- accounts -------------------------------------------------------------------------------

    def accounts_changed(self, before: Mapping[str, User], now: Mapping[str, User]) -> None:
        """This replica's users file was changed; what others must know is told in the background.

        Every worker notices it. Who finds a change told already does not tell it again.
        """
        changes = [
            change
            for user, present in changed_accounts(before, now)
            if (change := account_change(user, present, self._clock.time()))
        ]
        for change in changes[:ACCOUNTS_AT_ONCE]:
            if self._is_news(change):
                self._unsaved[change.subject] = change
        if len(changes) > ACCOUNTS_AT_ONCE:
            log.warning("too many accounts changed to tell other replicas", changed=len(changes))

    def _is_news(self, change: ChangedAccount) -> bool:
        self.known.catch_up()
        told = self.known.ledger.accounts.get(change.subject)
        return told is None or told.state != change.state

    async def _save_accounts(self) -> None:
        """As far as it goes: what is not saved is tried again, until it would have expired."""
        for change in list(self._unsaved.values()):
            try:
                if self._is_news(change):
                    await self._tell(text_of(change), self._in(READ_LIMIT_S))
                if change.expires_at > self._clock.time():
                    await self._store.add(text_of(change), self._in(READ_LIMIT_S))
            except (StorageUnavailable, SharedStateUnavailable) as exc:
                log.warning("a changed account is not saved", reason=type(exc).__name__)
                await asyncio.sleep(TRY_AGAIN_S)
                return
            if self._unsaved.get(change.subject) is change:
                del self._unsaved[change.subject]

    def _changed_lately(self, accounts: Mapping[str, User]) -> list[ChangedAccount]:
        """Those edited not long before this replica started, the latest first.

        Other replicas may have a file of before: in a roll-out the new ones get the new file.
        """
        now = self._clock.time()
        changes = [account_as_found(user, now) for user in accounts.values()]
        lately = [one for one in changes if one.changed_at > now - CHANGED_LATELY_S]
        return sorted(lately, key=lambda one: -one.changed_at)[:CHANGED_LATELY_LIMIT]

    # --- hearing --------------------------------------------------------------------------------

    async def begin(self, accounts: Mapping[str, User]) -> None:
        """Before this worker is ready: reads all there is. Never fails.

        ``accounts`` are those of its users file.
        """
        self.known.catch_up()
        await self._read_store(FIRST_READ_LIMIT_S)
        news = [one for one in self._changed_lately(accounts) if self._is_news(one)]
        self._unsaved.update({one.subject: one for one in news})

    async def run(self) -> None:
        """Hears what others ended, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for step in (self._look, self._save_and_read, self._hear):
                name = f"revocations: {step.__name__.strip('_')}"
                group.create_task(_for_ever(step), name=name)

    async def _look(self) -> None:
        """For streams that run, which no request makes look; and forgets what has expired."""
        await asyncio.sleep(LOOK_S)
        self.known.catch_up()
        now = self._clock.monotonic()
        if now - self._forgot_at >= FORGET_EVERY_S:
            self._forgot_at = now
            self.known.ledger.forget_expired(self._clock.time())

    async def _save_and_read(self) -> None:
        await asyncio.sleep(LOOK_AT_STORE_S)
        if self._unsaved:
            await self._save_accounts()
        if self._is_due():
            await self._read_store(READ_LIMIT_S)
        if self._clock.monotonic() - self._tidied_at >= TIDY_EVERY_S:
            await self._tidy()

    def _is_due(self) -> bool:
        now = self._clock.monotonic()
        if now - self._tried_at < TRY_AGAIN_S:
            return False
        # Another worker's reading is as good as its own, once this one has read all there was.
        return (
            self._asked_to_read
            or not self.known.complete
            or now - self._board.store_read_at >= READ_EVERY_S
        )

    async def _read_store(self, limit_s: float) -> None:
        self._tried_at, wall = self._clock.monotonic(), self._clock.time()
        losses, whole = self.known.losses, not self.known.complete
        self._asked_to_read = False
        deadline, untold = self._in(limit_s), frozenset(self._untold_here)
        try:
            texts = await self._store.list(0.0 if whole else self._since, deadline)
            self._untold_here.update([text for text in texts if self.known.learn(text)])
            if not whole:
                await self._tell_here(texts, deadline)
                # What is older than it lists, they have read.
                self._untold_here -= untold
        except GatewayError as exc:
            self._asked_to_read = True
            self._note_reading(False, type(exc.__cause__ or exc).__name__)
            return
        self._note_reading(True)
        self._since = wall
        self.known.complete = losses == self.known.losses
        if not whole:
            self._board.store_read_at = self._tried_at

    async def _tell_here(self, texts: Iterable[str], deadline: Deadline) -> None:
        """Writes what is new on the board, also what only this worker's first reading found.

        Each worker reads the whole by itself, and the board has no room for that. So only a reading
        of what is new counts for the others, and it tells what they may have missed.
        """
        for text in texts:
            if text in self._untold_here:
                await self._board.write(text, deadline)
                self._untold_here.discard(text)

    def _note_reading(self, works: bool, reason: str | None = None) -> None:
        """One line when it begins to fail, and one when it is over."""
        if works != self._reads:
            write = log.info if works else log.warning
            write("revocations are read" if works else "revocations are not read", reason=reason)
        self._reads = works

    async def _tidy(self) -> None:
        self._tidied_at = self._clock.monotonic()
        before = self._clock.time() - TIDY_AFTER_S
        try:
            await self._store.tidy(lambda text: _is_over(text, before), self._in(TIDY_LIMIT_S))
        except StorageUnavailable as exc:
            log.warning("expired revocations not removed", reason=type(exc.__cause__).__name__)

    async def _hear(self) -> None:
        if self._announcements is None:
            await asyncio.Event().wait()
            return
        try:
            async with asyncio.timeout(HEAR_S + TELL_LIMIT_S):
                heard = await self._announcements.hear(self._position, HEAR_S)
        except (SharedStateUnavailable, TimeoutError) as exc:
            self._channel_lost(exc)
            await asyncio.sleep(TRY_AGAIN_S)
            return
        if heard.missed or not self.hears:
            # What was told meanwhile stands in the store; but for keys, which are looked up again.
            self._asked_to_read = True
            self.known.doubt_keys()
        if not self.hears:
            log.info("revocations are announced")
        self.hears, self._heard_at = True, self._clock.monotonic()
        self._position = heard.position
        for text in heard.texts:
            if self.known.learn(text):
                await self._pass_on(text)

    async def _pass_on(self, text: str) -> None:
        """To the other workers: the channel may break before they hear of it, too.

        They would find it in the store, but a reading of this worker stands for theirs, and to it
        that is no news any more. A key's change is in no store: they look keys up again anyway.
        """
        if isinstance(revocation_of(text), ChangedKey):
            return
        self._untold_here.add(text)
        try:
            await self._board.write(text, self._in(TELL_LIMIT_S))
        except SharedStateUnavailable:
            self._asked_to_read = True
        else:
            self._untold_here.discard(text)
            self.known.catch_up()

    def _channel_lost(self, exc: Exception) -> None:
        if self.hears:
            log.warning("revocations are not announced", reason=type(exc).__name__)
        self.hears = False

    def _in(self, seconds: float) -> Deadline:
        return asyncio.get_running_loop().time() + seconds


async def _for_ever(step: Callable[[], Awaitable[None]]) -> None:
    """Whatever happens in a step: else no revocation would ever be heard of again."""
    while True:
        try:
            await step()
        except Exception:
            log.exception("revocations: a step failed")
            await asyncio.sleep(TRY_AGAIN_S)


def _is_over(text: str, now: float) -> bool:
    """Another version's are left alone."""
    revocation = revocation_of(text)
    return revocation is not None and expires_at(revocation) <= now
