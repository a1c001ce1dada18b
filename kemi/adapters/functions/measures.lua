#!lua name=tandem_measures_1
-- What the NOC has ordered for all nodes: quarantines, traces, log levels, flushes. Written by a node that was asked,
-- followed by all.
--
-- A measure is a field of one hash, "<order> <kind> <value>", with "<Redis ms of its end> <Redis ms of its beginning>
-- <JSON>". Each ends by itself: who reads leaves out what is over, and the next that is written takes it away. MEASURED
-- changes with each change, so that who follows reads the hash only then. LOG is what Postgres is told.

local KEPT = 10000

local function now_ms()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

local function digits_of(number)
  return string.format('%.0f', number)
end

-- By the clock, so that a Redis that begins anew, or at an older state, says none that was said before.
local function change(now)
  local last = tonumber(redis.call('GET', '@MEASURED@')) or 0
  redis.call('SET', '@MEASURED@', digits_of(math.max(last + 1, now)))
end

local function log(act, order, kind, value, end_ms, told)
  change(now_ms())
  redis.call(
    'XADD', '@MEASURE_LOG@', 'MAXLEN', '~', KEPT, '*',
    'act', act, 'order', order, 'kind', kind, 'value', value, 'until', digits_of(end_ms), 'told', told
  )
end

-- keys: none. args: order, kind, value, how many ms it lasts, how many of this order there may be, JSON. Returns the
-- Redis ms of its end, 0 where there are too many; a measure that is there already is replaced.
local function put(_, args)
  local order, now = args[1], now_ms()
  local field = order .. ' ' .. args[2] .. ' ' .. args[3]
  local rows, count, over = redis.call('HGETALL', '@MEASURES@'), 0, {}
  for i = 1, #rows, 2 do
    local end_ms = tonumber(string.match(rows[i + 1], '^%d+'))
    if not end_ms or end_ms <= now then
      over[#over + 1] = rows[i]
    elseif rows[i] ~= field and string.sub(rows[i], 1, #order + 1) == order .. ' ' then
      count = count + 1
    end
  end
  if count >= tonumber(args[5]) then
    return '0'
  end
  for _, gone in ipairs(over) do
    redis.call('HDEL', '@MEASURES@', gone)
  end
  local end_ms = now + tonumber(args[4])
  redis.call('HSET', '@MEASURES@', field, digits_of(end_ms) .. ' ' .. digits_of(now) .. ' ' .. args[6])
  log('begin', order, args[2], args[3], end_ms, args[6])
  return digits_of(end_ms)
end

-- keys: none. args: order, kind, value, JSON. Returns 1, or 0 where there is no such measure, or none any more.
local function release(_, args)
  local field, now = args[1] .. ' ' .. args[2] .. ' ' .. args[3], now_ms()
  local row = redis.call('HGET', '@MEASURES@', field)
  if not row then
    return 0
  end
  redis.call('HDEL', '@MEASURES@', field)
  if (tonumber(string.match(row, '^%d+')) or 0) <= now then
    return 0
  end
  log('end', args[1], args[2], args[3], now, args[4])
  return 1
end

redis.register_function('tandem_measure_put_1', put)
redis.register_function('tandem_measure_release_1', release)
