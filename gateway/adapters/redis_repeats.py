"""What was made for an ``Idempotency-Key``, in Redis, so that all replicas know it.

Only imported when ``GATEWAY_REDIS_URL`` is set. A record is a hash: the request's ``print``, the
``id`` of what is made, and either ``owner`` and ``until`` of who is at it, or the answer's
``status`` and ``body``. It stands under a digest, says nothing of the caller, and has an expiry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.adapters.redis_access import RedisAccess, connected
from gateway.adapters.redis_calls import RedisCalls
from gateway.adapters.redis_scripts import Script
from gateway.domain.repeats import Asked, Claim, KeptAnswer
from gateway.errors import SharedStateUnavailable

# KEYS: the record. ARGV: print, id, owner, for how long the owner has it, for how long it is kept,
# both in milliseconds. Answer: what became of it, the id, and of what was made status and body.
# A clock that was set back makes nobody wait longer than an owner may have it.
CLAIM: Final = Script(
    b"""
local key, print, id = KEYS[1], ARGV[1], ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = redis.call('HMGET', key, 'print', 'id', 'until', 'status', 'body')
local state = 'first'
if found[1] then
  if found[1] ~= print then return {'other'} end
  if found[4] then return {'made', found[2], found[4], found[5]} end
  local left = (tonumber(found[3]) or 0) - now
  if left > 0 and left <= 600000 then return {'busy'} end
  id, state = found[2], 'again'
end
local till = string.format('%d', now + tonumber(ARGV[4]))
redis.call('HSET', key, 'print', print, 'id', id, 'owner', ARGV[3], 'until', till)
redis.call('PEXPIRE', key, ARGV[5])
return {state, id}
"""
)

# KEYS: the record. ARGV: print, id, for how long it is kept, status, body. What was made first
# stays: a slow owner and the one after it made the same.
MADE: Final = Script(
    b"""
local found = redis.call('HMGET', KEYS[1], 'print', 'status')
if found[2] or (found[1] and found[1] ~= ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'print', ARGV[1], 'id', ARGV[2], 'status', ARGV[4], 'body', ARGV[5])
redis.call('HDEL', KEYS[1], 'owner', 'until')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
)

# KEYS: the record. ARGV: owner, "1" where nothing was begun. Only who has it gives it back.
GIVE_BACK: Final = Script(
    b"""
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
if ARGV[2] == '1' then return redis.call('DEL', KEYS[1]) end
redis.call('HDEL', KEYS[1], 'owner', 'until')
return 1
"""
)


class RedisRepeats:
    """Implements ``ports.RepeatStore``. ``access`` is asked for every new connection."""

    def __init__(self, access: Callable[[], RedisAccess]) -> None:
        first = access()
        self._prefix = first.prefix.encode() + b"i:"
        self._calls = RedisCalls(lambda: connected(access()), first.timeout_s)
        self._calls.teach(CLAIM, MADE, GIVE_BACK)

    async def claim(
        self, asked: Asked, new_id: str, owner: str, *, lock_s: float, kept_s: float
    ) -> Claim:
        args = (asked.fingerprint, new_id, owner, str(_ms(lock_s)), str(_ms(kept_s)))
        answer = self._calls.run(CLAIM, (self._key(asked),), [arg.encode() for arg in args])

        def given_back(answer: asyncio.Future[list[bytes]]) -> None:
            if not answer.cancelled() and answer.exception() is None:
                self.give_back(asked, owner, forget=answer.result()[0] == b"first")

        try:
            return _claim(await asyncio.shield(answer))
        except asyncio.CancelledError:
            # By a caller who left, so that nothing was begun: the answer is here already, or comes.
            if answer.done():
                given_back(answer)
            else:
                answer.add_done_callback(given_back)
            raise

    async def made(self, asked: Asked, made_id: str, answer: KeptAnswer, *, kept_s: float) -> None:
        head = (asked.fingerprint, made_id, str(_ms(kept_s)), str(answer.status))
        args = [*(arg.encode() for arg in head), answer.body]
        # It is made, whether its caller is still there or not.
        await asyncio.shield(self._calls.run(MADE, (self._key(asked),), args))

    def give_back(self, asked: Asked, owner: str, *, forget: bool) -> None:
        args = (owner.encode(), b"1" if forget else b"0")
        self._calls.run(GIVE_BACK, (self._key(asked),), args).add_done_callback(_ignored)

    def drop(self) -> None:
        """Closes the connection; the next call makes a new one."""
        self._calls.drop()

    async def aclose(self) -> None:
        await self._calls.aclose()

    def _key(self, asked: Asked) -> bytes:
        return self._prefix + asked.name.encode()


def _ms(seconds: float) -> int:
    return max(int(seconds * 1000), 1)


def _claim(found: list[bytes]) -> Claim:
    """Raises ``SharedStateUnavailable`` for what no gateway of this kind has written."""
    try:
        state, *rest = (text.decode() for text in found[:3])
        if state == "made":
            return Claim("made", rest[0], KeptAnswer(int(rest[1]), found[3]))
        if state == "first" or state == "again":
            return Claim("first" if state == "first" else "again", rest[0])
        return Claim("busy" if state == "busy" else "other")
    except (ValueError, IndexError, AttributeError, TypeError) as problem:
        raise SharedStateUnavailable from problem


def _ignored(answer: asyncio.Future[object]) -> None:
    """What is not given back is free by itself when its time is over."""
    if not answer.cancelled():
        answer.exception()
