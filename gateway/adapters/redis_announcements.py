"""What replicas tell one another through Redis: a numbered list of the latest texts.

Only imported when ``GATEWAY_REDIS_URL`` is set. Numbers have no gap, so that a reader who finds one
knows that he missed something. When Redis has forgotten them they begin anew with its clock, in
microseconds, so that an emptied Redis is a gap too: no call takes as little as one. A reader asks a
few times a second: that is a short script for Redis, and unlike a subscription it can neither break
nor fall behind unnoticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.adapters.redis_access import RedisAccess, connected
from gateway.adapters.redis_calls import RedisCalls
from gateway.adapters.redis_scripts import Script
from gateway.ports import Heard

# How many texts are kept, and for how long after the last one.
KEPT: Final = 10_000
_LIFE_S: Final = 24 * 3600
AT_ONCE: Final = 500

# KEYS: the texts by number, the last number. ARGV: the text, how many are kept, seconds.
TELL: Final = Script(
    b"""
if redis.call('EXISTS', KEYS[2]) == 0 then
  local clock = redis.call('TIME')
  redis.call('SET', KEYS[2], string.format('%d', clock[1] * 1000000 + clock[2]))
end
local number = string.format('%d', redis.call('INCR', KEYS[2]))
redis.call('ZADD', KEYS[1], number, number .. ' ' .. ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[2]) - 1)
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[3]) end
"""
)

# KEYS: as above. ARGV: the last number that is known, how many at once.
# Answer: the last number there is, and "number text" for each that is later than the known one; all
# there are where the known one is later than the last, since numbers have begun anew.
HEAR: Final = Script(
    b"""
local last = redis.call('GET', KEYS[2]) or '0'
local after = ARGV[1]
if tonumber(last) < tonumber(after) then after = '0' end
return {last, redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. after, '+inf', 'LIMIT', 0, ARGV[2])}
"""
)


class RedisAnnouncements:
    """Implements ``ports.Announcements``. ``access`` is asked for every new connection."""

    def __init__(self, access: Callable[[], RedisAccess]) -> None:
        first = access()
        prefix = first.prefix.encode()
        self._keys = (prefix + b"told", prefix + b"told:last")
        self._calls = RedisCalls(lambda: connected(access()), first.timeout_s)

    async def tell(self, text: str) -> None:
        args = (text.encode("ascii"), b"%d" % KEPT, b"%d" % _LIFE_S)
        await self._calls.run(TELL, self._keys, args)

    async def hear(self, position: str, wait_s: float) -> Heard:
        known = int(position or 0)
        args = (b"%d" % known, b"%d" % AT_ONCE)
        last, found = await self._calls.run(HEAR, self._keys, args)
        if int(last) == known:
            await asyncio.sleep(wait_s)
            return Heard((), position, missed=False)
        return _heard(known, int(last), found)

    async def aclose(self) -> None:
        await self._calls.aclose()


def _heard(known: int, last: int, found: list[bytes]) -> Heard:
    entries = [entry.decode("ascii", "replace").partition(" ") for entry in found]
    numbers = [int(number) for number, _, _ in entries if number.isdecimal()]
    texts = [text for _, _, text in entries]
    # Somebody else wrote there: what stands in the store is asked for instead.
    if len(numbers) < len(entries) or not numbers:
        return Heard((), str(last), missed=True)
    return Heard(texts, str(numbers[-1]), missed=numbers[0] != known + 1)
