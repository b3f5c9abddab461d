"""What a worker knows to be ended, as it is asked for with every credential.

Whatever a worker of this replica revoked stands on the board in shared memory; ``catch_up`` reads
what is new there. It is called before each credential is believed and costs one number's read, so
that workers of a replica agree at once. What other replicas revoked is brought here by
``revocations``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from gateway.domain.identity import User
from gateway.domain.revocations import (
    ACCOUNT_CHANGE_S,
    ChangedAccount,
    ChangedKey,
    Ledger,
    expires_at,
    revocation_of,
)
from gateway.domain.tokens import Claims
from gateway.ports import Board, Clock

log = structlog.get_logger("gateway.revocations")

KeyChanged = Callable[[str | None], None]
# Of texts that are no revocations, how many are told apart, so that each is logged once.
_NONSENSE_LIMIT: Final = 100


class KnownRevocations:
    """One worker's ledger, kept up with the board.

    Attributes:
        complete: whether nothing is missing that the store has had: it was read in full once, and
            nothing on the board was overwritten before it was read.
        losses: how often something was.
    """

    def __init__(self, board: Board, clock: Clock) -> None:
        self.ledger = Ledger()
        self.complete = False
        self.losses = 0
        self._board = board
        self._clock = clock
        self._position = 0
        self._key_changed: list[KeyChanged] = []
        self._changed: list[Callable[[], None]] = []
        self._nonsense: set[str] = set()

    def on_key_change(self, call: KeyChanged) -> None:
        """Calls it with the id of each key that was changed; ``None``: with any, or all of them."""
        self._key_changed.append(call)

    def on_change(self, call: Callable[[], None]) -> None:
        """Calls it whenever something new is known."""
        self._changed.append(call)

    def catch_up(self) -> None:
        if self._board.written != self._position:
            self._read_board()

    def _read_board(self) -> None:
        read = self._board.read(self._position)
        self._position = read.position
        if read.missed:
            self.lose()
        for text in read.texts:
            self.learn(text)

    def lose(self) -> None:
        """Something of this replica was missed: the store must be read in full."""
        self.complete = False
        self.losses += 1
        self.doubt_keys()

    def doubt_keys(self) -> None:
        """A key's change may have been missed: no look-up of before is good."""
        self._tell_key_change(None)
        self._tell_change()

    def learn(self, text: str) -> bool:
        """Whether it says anything new. What is no revocation of this version says nothing."""
        revocation = revocation_of(text)
        if revocation is None:
            self._log_nonsense(text[:100])
            return False
        if isinstance(revocation, ChangedAccount):
            revocation = self._bounded(revocation)
        if isinstance(revocation, ChangedKey):
            self._tell_key_change(revocation.key_id)
        elif expires_at(revocation) <= self._clock.time() or not self.ledger.add(revocation):
            return False
        self._tell_change()
        return True

    def _bounded(self, change: ChangedAccount) -> ChangedAccount:
        """However far another replica's clock is ahead: its own users file is believed again."""
        latest = int(self._clock.time()) + 2 * ACCOUNT_CHANGE_S
        return replace(change, expires_at=min(change.expires_at, latest))

    def _log_nonsense(self, text: str) -> None:
        if text not in self._nonsense and len(self._nonsense) < _NONSENSE_LIMIT:
            self._nonsense.add(text)
            log.warning("not a revocation", text=text)

    def _tell_key_change(self, key_id: str | None) -> None:
        for call in self._key_changed:
            call(key_id)

    def _tell_change(self) -> None:
        for call in self._changed:
            call()

    # --- questions, up to date with the board by themselves --------------------------------------

    def ends_token(self, mark: str, claims: Claims) -> bool:
        self.catch_up()
        return self.ledger.ends_token(mark, claims)

    def outdates(self, user: User) -> ChangedAccount | None:
        """What another replica's users file says of the account, where this one's does not yet."""
        self.catch_up()
        if not self.ledger.accounts:
            return None
        return self.ledger.outdates(user, self._clock.time())

    def generation(self, subject: str) -> int:
        """What a token names that is issued now."""
        self.catch_up()
        return self.ledger.generation(subject)
