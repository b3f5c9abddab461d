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

# What somebody else wrote under a key of ours counts as nothing and makes room for what we count:
# left there, it would fail each call that meets it.
OWN = b"""
local function own(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', key) end
end
"""

# A lease key is a hash: worker -> "how many, until when". Gives how many all hold, and this worker;
# nothing where something else stands there.
_HELD = b"""
local function held(key, worker)
  local all, mine = 0, 0
  local found = redis.pcall('HGETALL', key)
  if found.err then return end
  for i = 1, #found, 2 do
    local count, till = string.match(found[i + 1], '^(%d+) (%d+%.?%d*)$')
    if till and tonumber(till) > now then
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

# KEYS: of rates, then of leases, then of budgets. ARGV: how many rates; how many leases; "1" to
# charge, "0" to look; the worker; a lease's life; "interval burst cost least beside" for each rate,
# "most" for each lease and each budget. `least`, `beside`: see domain/when_away.py, Owed.
# Answer: whether all passed, with "!" where something else stood under a key; now; the state of
# each rate before, how many leases of each were held, how many tokens of each budget are spent.
# A state is "?" where something else stood there: a call that charges has removed it.
ADMIT = Script(
    _NOW
    + b"local writing = ARGV[3] == '1'\n"
    + _HELD
    + b"""
local rates, opens = tonumber(ARGV[1]), tonumber(ARGV[2])
local worker, life = ARGV[4], tonumber(ARGV[5])
local passed, strange = true, false
local full, mine, more = {}, {}, {}
local answer = {}
local function clear(key)
  strange = true
  if writing then redis.call('DEL', key) end
  return '?'
end
for i = 1, rates do
  local interval, burst, cost, least, beside =
    string.match(ARGV[i + 5], '(%S+) (%S+) (%S+) (%S+) (%S+)')
  local room = interval * burst
  local key = KEYS[i]
  local before, state = full[key], nil
  if not before then
    local found = redis.pcall('GET', key)
    before = not found and 0 or type(found) == 'string' and tonumber(found)
    -- Every key of ours has an expiry: without one, it would keep its owner out for good.
    local far = before and before > now + room and redis.call('PTTL', key) == -1
    if not before or before ~= before or far then before, state = 0, clear(key) end
  end
  -- A clock that was set back, or a burst made smaller: never longer than the whole burst takes.
  local start = math.min(math.max(before, now), now + room)
  local after = start + interval * cost
  if after - now - room > interval * 1e-6 then passed = false end
  full[key] = math.max(after, now + least, math.min(start + beside, now + room))
  answer[#answer + 1] = state or string.format('%.6f', before)
end
for i = rates + 1, rates + opens do
  local key = KEYS[i]
  local all, own = held(key, worker)
  local state = nil
  if not all then all, own, state = 0, 0, clear(key) end
  more[key] = (more[key] or 0) + 1
  all = all + more[key] - 1
  if all >= tonumber(ARGV[i + 5]) then passed = false end
  mine[key] = own
  answer[#answer + 1] = state or tostring(all)
end
for i = rates + opens + 1, #KEYS do
  local found = redis.pcall('HMGET', KEYS[i], 'prompt', 'completion', 'estimated')
  local spent = 0
  if found.err then
    answer[#answer + 1] = clear(KEYS[i])
  else
    for field = 1, 3 do spent = spent + (tonumber(found[field] or 0) or 0) end
    answer[#answer + 1] = string.format('%.0f', spent)
  end
  if spent >= tonumber(ARGV[i + 5]) then passed = false end
end
if passed and writing then
  for key, till in pairs(full) do
    local text = string.format('%.6f', till)
    redis.call('SET', key, text, 'PX', math.ceil((till - now) * 1000) + 1000)
  end
  for key, count in pairs(mine) do hold(key, worker, count + more[key], life) end
end
local verdict = (passed and '1' or '0') .. (strange and '!' or '')
return verdict .. string.format(' %.6f ', now) .. table.concat(answer, ' ')
"""
)

# KEYS: of leases, each once. ARGV: the worker, a lease's life, how many to give back of each.
RELEASE = Script(
    _NOW
    + b"local writing = true\n"
    + _HELD
    + b"""
for i, key in ipairs(KEYS) do
  local all, mine = held(key, ARGV[1])
  if not all then
    redis.call('DEL', key)
    mine = 0
  end
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
    + OWN
    + _HELD
    + b"""
for i, key in ipairs(KEYS) do
  own(key, 'hash')
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
    + OWN
    + b"""
local free, first = tonumber(ARGV[1]), tonumber(ARGV[2])
local longest, memory = tonumber(ARGV[3]), tonumber(ARGV[4])
local answer = {}
for i, key in ipairs(KEYS) do
  own(key, 'hash')
  local failures = redis.pcall('HINCRBY', key, 'failures', 1)
  if type(failures) == 'table' then
    redis.call('HSET', key, 'failures', 1)
    failures = 1
  end
  local beyond = failures - free
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
  local found = redis.pcall('HGET', key, 'until')
  local till = type(found) == 'string' and tonumber(found) or 0
  answer[i] = string.format('%.6f', math.max(till - now, 0))
end
return table.concat(answer, ' ')
"""
)

# KEYS: the set of replicas. ARGV: this replica, or nothing for who only looks, and how long one is
# known. Answer: how many are.
ANNOUNCE = Script(
    _NOW
    + OWN
    + b"""
own(KEYS[1], 'zset')
local life = tonumber(ARGV[2])
if ARGV[1] ~= '' then redis.call('ZADD', KEYS[1], string.format('%.6f', now), ARGV[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now - life))
redis.call('PEXPIRE', KEYS[1], math.ceil(life * 1000))
return redis.call('ZCARD', KEYS[1])
"""
)
