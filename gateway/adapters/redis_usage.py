"""What was spent, in Redis: a hash for each day and month of each subject, key and tenant.

Only imported when ``GATEWAY_REDIS_URL`` is set. Days are those of the gateway's clock, because a
charge that waited counts for the day on which it was made. Every key gets an expiry.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.adapters.redis_calls import RedisCalls
from gateway.adapters.redis_scripts import OWN, Script
from gateway.adapters.redis_state import account_key
from gateway.domain.usage import Account, KeyUse, Spent

# How long a day or month is kept behind its end: what waited for Redis may be late.
KEPT_S: Final = 2 * 86_400
# How long a worker's last batch is remembered, and when a key was last used.
BATCH_LIFE_S: Final = 86_400
USES_LIFE_S: Final = 90 * 86_400

# KEYS: the number of the worker's last batch; accounts; owners of keys. ARGV: the batch's number,
# how long it is remembered, how many accounts, "prompt completion estimated until" for each of
# them, "id time" for each owner, how long that is remembered.
# Answer: whether the batch was not known. A failure, such as no memory left, comes before anything
# was written.
ADD: Final = Script(
    OWN
    + b"""
-- Numbers grow: one that is not above the last was sent again meanwhile, over another connection.
local last = tonumber(redis.call('GET', KEYS[1]) or '')
if last and last >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
local accounts = tonumber(ARGV[3])
-- A gateway whose clock is behind must not have its charges expire at once.
local soonest = redis.call('TIME')[1] + 86400
local function add(key, field, count)
  if count == '0' then return end
  local done = redis.pcall('HINCRBY', key, field, count)
  if type(done) == 'table' then redis.call('HSET', key, field, count) end
end
for i = 1, accounts do
  local key = KEYS[i + 1]
  own(key, 'hash')
  local prompt, completion, estimated, till = string.match(ARGV[i + 3], '(%d+) (%d+) (%d+) (%d+)')
  add(key, 'prompt', prompt)
  add(key, 'completion', completion)
  add(key, 'estimated', estimated)
  redis.call('EXPIREAT', key, string.format('%d', math.max(till, soonest)))
end
for i = accounts + 2, #KEYS do
  local id, time = string.match(ARGV[i + 2], '(%S+) (%d+)')
  own(KEYS[i], 'hash')
  redis.call('HSET', KEYS[i], id, time)
  redis.call('EXPIRE', KEYS[i], ARGV[#ARGV])
end
return 1
"""
)

# KEYS: accounts. Answer: "prompt completion estimated" for each; nothing is zeros.
READ: Final = Script(
    b"""
local answer = {}
for i, key in ipairs(KEYS) do
  local found = redis.pcall('HMGET', key, 'prompt', 'completion', 'estimated')
  for field = 1, 3 do
    answer[#answer + 1] = string.match(tostring(found[field] or '0'), '^%d+$') or '0'
  end
end
return table.concat(answer, ' ')
"""
)


class RedisUsage:
    """Implements ``ports.UsageStore``.

    ``calls`` are those of what else is counted: a batch that left before a question is in what
    Redis says of the question's budget. Their connection is their owner's to close.
    """

    def __init__(self, calls: RedisCalls, prefix: bytes) -> None:
        self._calls = calls
        self._prefix = prefix
        calls.teach(ADD, READ)
        self._batch = self._prefix + b"u:batch:" + secrets.token_hex(8).encode()

    async def add(
        self, number: int, spent: Mapping[Account, Spent], used: Mapping[KeyUse, int]
    ) -> int:
        keys = [self._batch, *(self._account(one.key) for one in spent)]
        keys += [self._owner(use.owner) for use in used]
        args = [b"%d" % number, b"%d" % BATCH_LIFE_S, b"%d" % len(spent)]
        args += [
            b"%d %d %d %d" % (one.prompt, one.completion, one.estimated, account.ends_at + KEPT_S)
            for account, one in spent.items()
        ]
        args += [b"%b %d" % (use.key_id.encode(), at) for use, at in used.items()]
        args.append(b"%d" % USES_LIFE_S)
        await self._calls.run(ADD, keys, args)
        return 0

    async def read(self, keys: Sequence[str]) -> Sequence[Spent]:
        answer = await self._calls.run(READ, [self._account(key) for key in keys], [])
        counts = [int(number) for number in answer.split()]
        return [Spent(*counts[i : i + 3]) for i in range(0, len(counts), 3)]

    async def last_used(self, owner: str) -> Mapping[str, int]:
        found = await self._calls.call(b"HGETALL", self._owner(owner))
        ids = [word.decode("ascii", "replace") for word in found[::2]]
        return {key: int(at) for key, at in zip(ids, found[1::2], strict=True) if at.isdigit()}

    async def forget(self, keys: Sequence[str]) -> None:
        if keys:
            await self._calls.call(b"DEL", *map(self._account, keys))

    async def check(self) -> None:
        await self._calls.call(b"PING")

    def _account(self, key: str) -> bytes:
        return account_key(self._prefix, key)

    def _owner(self, owner: str) -> bytes:
        return self._prefix + b"u:keys:" + owner.encode()
