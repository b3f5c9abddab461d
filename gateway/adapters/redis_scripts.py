"""What runs inside Redis: each script is one step that nothing comes between.

Time is Redis's own, so that a replica's wrong clock changes nothing; it is in seconds, and numbers
are written with six decimals, since Redis would cut what Lua makes of them to fourteen digits.
Every key gets an expiry. A script's answer is one text: the shortest way through any parser.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1


@dataclass(frozen=True, slots=True)
class Script:
    text: bytes
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        # The name by which Redis keeps it, no protection.
        digest = sha1(self.text, usedforsecurity=False).hexdigest().encode()
        object.__setattr__(self, "digest", digest)


_NOW = b"""
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
"""

# A lease key is a hash: worker -> "how many, until when". Gives how many all hold, and this worker.
_HELD = b"""
local function held(key, worker)
  local all, mine = 0, 0
  local found = redis.call('HGETALL', key)
  for i = 1, #found, 2 do
    local count, till = string.match(found[i + 1], '(%S+) (%S+)')
    if tonumber(till) > now then
      all = all + count
      if found[i] == worker then mine = tonumber(count) end
    elseif writing then
      redis.call('HDEL', key, found[i])
    end
  end
  return all, mine
end

local function hold(key, worker, count, life)
  redis.call('HSET', key, worker, string.format('%d %.6f', count, now + life))
  redis.call('PEXPIRE', key, math.ceil(life * 1000))
end
"""

# KEYS: of rates, then of leases. ARGV: how many rates; "1" to charge, "0" to look; the worker; a
# lease's life; "interval burst cost owed" for each rate, "most" for each lease. `owed`: seconds
# that the key needs at least from now until its burst is whole, known from elsewhere.
# Answer: whether all passed, now, the state of each rate before, how many leases of each were held.
ADMIT = Script(
    _NOW
    + b"local writing = ARGV[2] == '1'\n"
    + _HELD
    + b"""
local rates = tonumber(ARGV[1])
local worker, life = ARGV[3], tonumber(ARGV[4])
local passed = true
local full, mine, more = {}, {}, {}
local answer = {}
for i = 1, rates do
  local interval, burst, cost, owed = string.match(ARGV[i + 4], '(%S+) (%S+) (%S+) (%S+)')
  local room = interval * burst
  local key = KEYS[i]
  local before = full[key] or tonumber(redis.call('GET', key) or 0)
  -- A clock that was set back, or a burst made smaller: never longer than the whole burst takes.
  local start = math.min(math.max(before, now), now + room)
  local after = start + interval * cost
  if after - now - room > interval * 1e-6 then passed = false end
  full[key] = math.max(after, now + owed)
  answer[#answer + 1] = string.format('%.6f', before)
end
for i = rates + 1, #KEYS do
  local key = KEYS[i]
  local all, own = held(key, worker)
  more[key] = (more[key] or 0) + 1
  all = all + more[key] - 1
  if all >= tonumber(ARGV[i + 4]) then passed = false end
  mine[key] = own
  answer[#answer + 1] = tostring(all)
end
if passed and writing then
  for key, till in pairs(full) do
    local text = string.format('%.6f', till)
    redis.call('SET', key, text, 'PX', math.ceil((till - now) * 1000) + 1000)
  end
  for key, count in pairs(mine) do hold(key, worker, count + more[key], life) end
end
return string.format('%d %.6f ', passed and 1 or 0, now) .. table.concat(answer, ' ')
"""
)

# KEYS: of leases, each once. ARGV: the worker, a lease's life, how many to give back of each.
RELEASE = Script(
    _NOW
    + b"local writing = true\n"
    + _HELD
    + b"""
for i, key in ipairs(KEYS) do
  local _, mine = held(key, ARGV[1])
  local left = mine - tonumber(ARGV[i + 2])
  if left > 0 then
    hold(key, ARGV[1], left, tonumber(ARGV[2]))
  else
    redis.call('HDEL', key, ARGV[1])
  end
end
"""
)

# KEYS: of leases. ARGV: the worker, a lease's life, how many it holds of each.
RENEW = Script(
    _NOW
    + b"local writing = true\n"
    + _HELD
    + b"""
for i, key in ipairs(KEYS) do
  local count = tonumber(ARGV[i + 2])
  if count > 0 then
    hold(key, ARGV[1], count, tonumber(ARGV[2]))
  else
    redis.call('HDEL', key, ARGV[1])
  end
end
"""
)

# KEYS: of failures. ARGV: free, first_s, longest_s, memory_s. Answer: the delay of each.
FAILED = Script(
    _NOW
    + b"""
local free, first = tonumber(ARGV[1]), tonumber(ARGV[2])
local longest, memory = tonumber(ARGV[3]), tonumber(ARGV[4])
local answer = {}
for i, key in ipairs(KEYS) do
  local beyond = redis.call('HINCRBY', key, 'failures', 1) - free
  local delay = 0
  if beyond > 0 then delay = math.min(first * 2 ^ math.min(beyond - 1, 60), longest) end
  redis.call('HSET', key, 'until', string.format('%.6f', now + delay))
  redis.call('PEXPIRE', key, math.ceil(math.max(memory, delay) * 1000))
  answer[i] = string.format('%.6f', delay)
end
return table.concat(answer, ' ')
"""
)

# KEYS: of failures. Answer: what is left of the delay of each.
WAIT = Script(
    _NOW
    + b"""
local answer = {}
for i, key in ipairs(KEYS) do
  local till = tonumber(redis.call('HGET', key, 'until') or 0)
  answer[i] = string.format('%.6f', math.max(till - now, 0))
end
return table.concat(answer, ' ')
"""
)

# KEYS: the set of replicas. ARGV: this replica, or nothing for who only looks, and how long one is
# known. Answer: how many are.
ANNOUNCE = Script(
    _NOW
    + b"""
local life = tonumber(ARGV[2])
if ARGV[1] ~= '' then redis.call('ZADD', KEYS[1], string.format('%.6f', now), ARGV[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now - life))
redis.call('PEXPIRE', KEYS[1], math.ceil(life * 1000))
return redis.call('ZCARD', KEYS[1])
"""
)
