-- Redis 7.0 runs Lua 5.1 and gives its functions these names.
std = "lua51"
globals = {}
read_globals = { "redis", "cmsgpack", "cjson", "struct", "bit" }
max_line_length = 120
