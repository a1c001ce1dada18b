-- Redis 7.0 runs Lua 5.1 and gives its functions these names.
std = "lua51"
globals = {}
read_globals = { "redis", "cmsgpack", "cjson", "struct", "bit" }
max_line_length = 120

-- The files of this folder are one library, joined in this order: what stands at the left margin of one may be used, and
-- set, in those after it. Only what no later one uses is unused.
local FOLDER = "kemi/adapters/functions/money/"
local PARTS = { "1_layout", "2_limits", "3_calls", "4_charges", "5_watch", "6_rebuild" }

local texts, defined = {}, {}
for i, part in ipairs(PARTS) do
  local file = assert(io.open(FOLDER .. part .. ".lua"))
  texts[i], defined[i] = "\n" .. file:read("*a"), {}
  file:close()
  for line in texts[i]:gmatch("\nlocal ([^\n]+)") do
    local names = line:match("^function ([%w_]+)") or line:match("^[%w_, ]+")
    for name in names:gmatch("[%w_]+") do
      table.insert(defined[i], name)
    end
  end
end

local known = {}
for i, part in ipairs(PARTS) do
  local used_later = {}
  local later = " " .. table.concat(texts, "", i + 1)
  for _, name in ipairs(defined[i]) do
    if later:find("[^%w_]" .. name .. "[^%w_]") then
      table.insert(used_later, "2[123]1/" .. name)
    end
  end
  files[FOLDER .. part .. ".lua"] = { globals = { unpack(known) }, ignore = used_later }
  for _, name in ipairs(defined[i]) do
    table.insert(known, name)
  end
end
