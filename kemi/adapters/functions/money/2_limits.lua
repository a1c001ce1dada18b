-- What forbids a call, and what it may cost. Reads nothing but what it is given, the memory of Redis apart.

local memory_second, memory_is_full = -1, false

local terms_of = kept(unpacked)

-- What a fund can still spend; false for one without terms or not active: not even a call at price 0 goes on, so the
-- running calls of a suspended account end with their slice.
local function spendable(state, terms)
  if not terms or terms[STATUS] ~= ACTIVE then
    return false
  end
  if terms[CREDIT_LIMIT] == UNLIMITED then
    return math.huge
  end
  return terms[CRED] - state.charged - state.hold + terms[CREDIT_LIMIT]
end

local function has_caps(terms)
  return terms[MONTHS] ~= nil and (terms[DAY_MAX] > 0 or terms[MONTH_MAX] > 0)
end

-- Id of the window that counts now: the first that has not ended. All have: the last one known goes on, since no cap
-- may begin anew because the sync is late. None is known: 0, which never ends.
local function in_force(windows, now)
  local id = 0
  for _, window in ipairs(windows) do
    id = window[1]
    if window[2] > now then
      break
    end
  end
  return id
end

-- Begins to count anew, with what Postgres had counted when a cap was set or the time zone changed, unless more of the
-- same window is known here. Only now may an id fall: the account's day has moved.
local function begin_windows(state, opening, day, month)
  local day_spent = state.day_id == day and state.day_spent or 0
  local month_spent = state.month_id == month and state.month_spent or 0
  state.day_id, state.day_spent = day, math.max(day_spent, opening[2] == day and opening[3] or 0)
  state.month_id, state.month_spent = month, math.max(month_spent, opening[4] == month and opening[5] or 0)
  state.opening = opening[1]
end

-- Opens the windows of a fund that has caps. They only roll forward: older terms may come after newer ones.
local function roll_windows(state, terms, now)
  read_windows(state)
  local day, month, opening = in_force(terms[DAYS], now), in_force(terms[MONTHS], now), terms[OPENING]
  if opening and opening[1] > state.opening then
    begin_windows(state, opening, day, month)
  end
  if state.day_id < day then
    state.day_id, state.day_spent = day, 0
  end
  if state.month_id < month then
    state.month_id, state.month_spent = month, 0
  end
end

-- What a cap leaves: what is held counts as spent.
local function left_of(cap, spent, hold)
  return cap > 0 and cap - spent - hold or math.huge
end

-- States, terms (false where missing) and what can be spent; in `got` all states, then all terms, after `first`.
local function read_funds(funds, got, first, now)
  local states, terms, spends = {}, {}, {}
  for i = 1, #funds do
    local packed = got[first + #funds + i]
    local state, t = read_state(got[first + i]), packed and terms_of(packed)
    t = t or (counts_only(funds[i]) and NO_LIMIT)
    local left = spendable(state, t)
    if left and has_caps(t) then
      roll_windows(state, t, now)
      left = math.min(left, left_of(t[DAY_MAX], state.day_spent, state.hold))
      left = math.min(left, left_of(t[MONTH_MAX], state.month_spent, state.hold))
    end
    states[i], terms[i], spends[i] = state, t, left
  end
  return states, terms, spends
end

-- Why a fund that `spendable` knows cannot pay `more`.
local function shortage(state, terms, more)
  if more > spendable(state, terms) then
    return "credit"
  end
  return more > left_of(terms[DAY_MAX], state.day_spent, state.hold) and "spend_day" or "spend_month"
end

-- Rows are flat: talk seconds, then the cumulative price per fund; columns rise from `floor`, a row of the same form.
local function rows_fault(rows, floor)
  local width = #floor
  if type(rows) ~= "table" or #rows == 0 or #rows % width ~= 0 or #rows > ROWS_MAX * width then
    return "a schedule has 1 to 16 rows with one price per fund"
  end
  for at = 1, #rows do
    local value, before = rows[at], rows[at - width] or floor[at]
    -- Written out, for it runs a hundred times a hold: is_amount, since no floor is negative.
    if type(value) ~= "number" or value < before or value > AMOUNT_MAX or value % 1 ~= 0 then
      return "a schedule's numbers are whole, below 2^53 and do not fall"
    end
  end
  for at = 1, #rows, width do
    if rows[at] == (rows[at - width] or floor[1]) then
      return "a schedule's seconds rise"
    end
  end
  return nil
end

-- Start of the largest row that all funds can pay on top of what they hold; or nil, the first fund that cannot pay the
-- smallest row, and why.
local function affordable(rows, states, terms, held, spends)
  local width, poorest, reason = #states + 1, nil, nil
  for at = #rows - width + 1, 1, -width do
    poorest = nil
    for i = 1, #states do
      local more = rows[at + i] - held[i]
      if states[i].charged + states[i].hold + more > AMOUNT_MAX then
        poorest, reason = i, "full"
      elseif not spends[i] or (more > 0 and more > spends[i]) then
        poorest, reason = i, spends[i] and shortage(states[i], terms[i], more) or "status"
      end
      if poorest then
        break
      end
    end
    if not poorest then
      return at
    end
  end
  return nil, poorest, reason
end

-- Which of a fund's channels are all taken, or nil.
local function channels_short(state, terms, side)
  if terms[CHANNELS_MAX] > 0 and state.channels + 1 > terms[CHANNELS_MAX] then
    return "channels"
  end
  local in_max, out_max = terms[CHANNELS_IN_MAX] or 0, terms[CHANNELS_OUT_MAX] or 0
  if in_max > 0 and ONE_IN[side] > 0 and state.channels_in + 1 > in_max then
    return "channels_in"
  end
  if out_max > 0 and ONE_OUT[side] > 0 and state.channels_out + 1 > out_max then
    return "channels_out"
  end
  return nil
end

-- What forbids a new call whatever it costs: reason and position of the nearest such fund, or nil. A fund without terms
-- has not arrived from Postgres, or is gone: closed, not free.
local function barred(states, terms, sides, second)
  for i, state in ipairs(states) do
    local t = terms[i]
    if not t or t[STATUS] ~= ACTIVE then
      return "status", i
    end
    local short = channels_short(state, t, sides[i])
    if short then
      return short, i
    end
    if t[CPS_MAX] > 0 and state.second == second and state.calls >= t[CPS_MAX] then
      return "cps", i
    end
  end
  return nil
end

-- Asked of Redis once a second: INFO costs more than a reserve.
local function memory_full(second)
  if second ~= memory_second then
    local info = redis.call("INFO", "memory")
    local used = tonumber(string.match(info, "\nused_memory:(%d+)"))
    local maximum = tonumber(string.match(info, "\nmaxmemory:(%d+)"))
    memory_second, memory_is_full = second, maximum > 0 and used > MEMORY_SHARE_MAX * maximum
  end
  return memory_is_full
end
