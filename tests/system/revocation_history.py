"""A history of revocations: every accept and refuse of all replicas, on one clock.

Askers show credentials to each replica again and again, on connections that change now and then, so
that every worker is asked. Each credential is revoked in the middle of that, once all askers were
let in by it; the moment at which the revocation was acknowledged stands in the same history.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.adapters.argon2_passwords import hash_password
from gateway.domain.identity import User
from gateway.domain.tokens import issue
from gateway.settings import Settings
from gateway.wiring.from_settings import token_settings
from tests.edge.conftest import ENVIRONMENT
from tests.edge.fakes import PASSWORD
from tests.edge.raw import Answer, exchange, read_answer, request
from tests.edge.served import Served, until

ME, KEYS, LOGOUT = "/api/v1/auth/me", "/api/v1/keys", "/api/v1/auth/logout"
ASKERS = 3  # at each replica
ASKS_PER_CONNECTION = 20
PAUSE_S = 0.005
LOOK_S = 0.05
PATIENT_S = 120.0
OWNERS = 20


@dataclass
class Credential:
    """``kind`` says how it is revoked; ``accepted_by`` are the askers it let in; ``last`` is what
    each replica said last."""

    kind: str
    headers: dict[str, str]
    revoke: Callable[[Served], Awaitable[Answer]]
    acknowledged_at: float | None = None
    accepted_by: set[int] = field(default_factory=set)
    last: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    credential: Credential
    replica: int
    sent_at: float
    answered_at: float
    status: int


@dataclass
class History:
    """``pause_s`` is for how long this process, which writes the history, did not run at most."""

    replicas: Sequence[Served]
    asks: list[Ask] = field(default_factory=list)
    asked: list[Credential] = field(default_factory=list)
    revoked: int = 0
    pause_s: float = 0.0

    def accepted_after(self) -> list[tuple[float, str]]:
        """How long (seconds) after each acknowledgement its credential was accepted last, where it
        was, and its kind.

        By when the question was sent: an answer under way at the acknowledgement is none.
        """
        latest: dict[int, tuple[float, str]] = {}
        for ask in self.asks:
            end = ask.credential.acknowledged_at
            if end is not None and ask.status == 200 and ask.sent_at > end:
                key = id(ask.credential)
                late = (ask.sent_at - end, ask.credential.kind)
                latest[key] = max(latest.get(key, late), late)
        return sorted(latest.values())

    async def revoke(self, credentials: Sequence[Credential], at_once: int, watch_s: float) -> None:
        """Revokes them at replicas in turn, and has each asked about for ``watch_s`` after it."""
        turns, numbers = asyncio.Semaphore(at_once), itertools.count()

        async def one(credential: Credential) -> None:
            async with turns:
                await self._revoke(credential, self.replicas[next(numbers) % 2], watch_s)

        async with asyncio.timeout(PATIENT_S + len(credentials) * (watch_s + 5)):
            await asyncio.gather(*map(one, credentials))

    async def _revoke(self, credential: Credential, at: Served, watch_s: float) -> None:
        self.asked.append(credential)
        await until(lambda: len(credential.accepted_by) == ASKERS * len(self.replicas))
        answer = await credential.revoke(at)
        credential.acknowledged_at = time.monotonic()
        assert answer.status in (201, 204), answer.body
        # For as long as it is watched: whoever accepts it then, accepts it too late.
        await asyncio.sleep(watch_s)
        refused_by_all = dict.fromkeys(range(len(self.replicas)), 401)
        await until(lambda: credential.last == refused_by_all)
        self.asked.remove(credential)
        self.revoked += 1

    async def ask(self, number: int, replica: int) -> None:
        """One asker: shows whatever is to be shown now, for ever."""
        while True:
            reader, writer = await asyncio.open_connection(*self.replicas[replica].address)
            try:
                for _ in range(ASKS_PER_CONNECTION):
                    for credential in tuple(self.asked):
                        await self._ask(credential, number, replica, reader, writer)
                    await asyncio.sleep(PAUSE_S)
            finally:
                writer.close()

    async def _ask(
        self,
        credential: Credential,
        number: int,
        replica: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        sent_at = time.monotonic()
        writer.write(request("GET", ME, credential.headers))
        answer = await read_answer(reader)
        assert answer.status in (200, 401), answer.body
        if answer.status == 200:
            credential.accepted_by.add(number)
        credential.last[replica] = answer.status
        self.asks.append(Ask(credential, replica, sent_at, time.monotonic(), answer.status))

    async def notice_pauses(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(LOOK_S)
            self.pause_s = max(self.pause_s, time.monotonic() - before - LOOK_S)


@contextlib.asynccontextmanager
async def recording(*replicas: Served) -> AsyncIterator[History]:
    history = History(replicas)
    tasks = [asyncio.create_task(history.notice_pauses())]
    for number in range(ASKERS * len(replicas)):
        tasks.append(asyncio.create_task(history.ask(number, number % len(replicas))))
    try:
        yield history
        assert not any(task.done() for task in tasks), [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class People:
    """Accounts in a file, and tokens for them that no login had to be waited for."""

    def __init__(self, most: int) -> None:
        self._hash = hash_password(PASSWORD)
        self._tokens = token_settings(Settings.load(ENVIRONMENT | NEEDED))
        self.names = [f"owner{number}" for number in range(OWNERS)]
        self.names += [f"person{number}" for number in range(most)]

    def write(self, file: Path, *, without: str = "") -> None:
        entry = {
            "tenant": "acme",
            "roles": ["editor"],
            "password_hash": self._hash,
            "password_changed_at": "2026-01-01T00:00:00Z",
        }
        users = {name: entry for name in self.names if name != without}
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps({"version": 1, "users": users}), "utf-8")
        temporary.replace(file)

    def bearer(self, name: str) -> dict[str, str]:
        user = User(name, "acme", frozenset({"editor"}), self._hash, 1_767_225_600)
        token = issue(user, time.time(), self._tokens).access_token
        return {"Authorization": f"Bearer {token}"}


NEEDED = {"GATEWAY_SERVICES_CORE": "http://127.0.0.1:1"}


async def call(
    replica: Served, method: str, target: str, headers: dict[str, str], body: object = None
) -> Answer:
    if body is None:
        return await exchange(replica.address, request(method, target, headers))
    typed = {**headers, "Content-Type": "application/json"}
    return await exchange(
        replica.address, request(method, target, typed, json.dumps(body).encode())
    )


async def some_of_each(people: People, replica: Served, count: int) -> list[Credential]:
    """Tokens to be logged out, one and all of an account's; keys to be revoked and rotated."""
    makers = (_token, _revoked_key, _token, _rotated_key, _all_tokens)
    return [await makers[number % 5](people, replica, number) for number in range(count)]


async def _token(people: People, replica: Served, number: int) -> Credential:
    mine = people.bearer(f"owner{number % OWNERS}")
    return Credential("a token", mine, lambda at: call(at, "POST", LOGOUT, mine))


async def _all_tokens(people: People, replica: Served, number: int) -> Credential:
    name = f"person{number}"
    other = people.bearer(name)
    return Credential(
        "all tokens", people.bearer(name), lambda at: call(at, "POST", f"{LOGOUT}?all=true", other)
    )


async def _revoked_key(people: People, replica: Served, number: int) -> Credential:
    key_id, secret, owner = await _key(people, replica, number)
    return Credential("a key", secret, lambda at: call(at, "DELETE", f"{KEYS}/{key_id}", owner))


async def _rotated_key(people: People, replica: Served, number: int) -> Credential:
    key_id, secret, owner = await _key(people, replica, number)
    return Credential(
        "a rotated key",
        secret,
        lambda at: call(at, "POST", f"{KEYS}/{key_id}/rotate", owner, {"overlap": 0}),
    )


async def _key(
    people: People, replica: Served, number: int
) -> tuple[str, dict[str, str], dict[str, str]]:
    owner = people.bearer(f"owner{number % OWNERS}")
    made = await call(replica, "POST", KEYS, owner, {"name": "k", "scopes": ["auth:me"]})
    assert made.status == 201, made.body
    return made.json()["key_id"], {"X-API-Key": made.json()["secret"]}, owner
