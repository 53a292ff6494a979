-- The requests of scripts/load.py, a script for wrk with one connection in each thread.
--
-- usage: wrk -s load.lua -t N -c N … URL -- SECONDS TOKENS FIRST-CONTACTS METHOD PATH [BODIES]
--
-- The threads take turns at TOKENS, which commas separate. `CONTACT` in PATH becomes a random number up to FIRST-CONTACTS.
-- A line of the file BODIES is the body of a request. wrk adds samples to the latencies that it prints, as if requests had
-- a fixed rate. So this script measures the time of each request itself, and prints JSON.
--
-- A thread that receives an answer after SECONDS stops and prints `stopped`. wrk itself would give up the last calls, and
-- the slowest ones would be missing.
local ffi = require("ffi")
ffi.cdef "typedef struct { long seconds; long nanos; } moment; int clock_gettime(int clock, moment *now);"
local MONOTONIC, now = 1, ffi.new("moment")

local function millis()
  ffi.C.clock_gettime(MONOTONIC, now)
  return tonumber(now.seconds) * 1e3 + tonumber(now.nanos) / 1e6
end

local threads = {}
function setup(thread)
  table.insert(threads, thread)
  thread:set("seed", #threads)
end

local ends, method, path, contacts, sent
local bodies = {}
latencies, statuses = {}, {}

function init(args)
  local tokens = {}
  for token in args[2]:gmatch("[^,]+") do table.insert(tokens, token) end
  contacts, method, path = tonumber(args[3]), args[4], args[5]
  wrk.headers["Authorization"] = tokens[seed % #tokens + 1]
  if args[6] then
    wrk.headers["Content-Type"] = "application/json"
    for line in io.lines(args[6]) do table.insert(bodies, line) end
  end
  math.randomseed(seed)
  ends = millis() + args[1] * 1e3
end

function request()
  local to = path:gsub("CONTACT", math.random(contacts))
  local text = wrk.format(method, to, nil, bodies[1] and bodies[math.random(#bodies)])
  sent = millis()
  return text
end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
  local answered = millis()
  if status == 200 then table.insert(latencies, answered - sent) end
  if answered >= ends then
    io.write("stopped\n")
    io.flush()
    wrk.thread:stop()
  end
end

function done(summary)
  local all, errors = {}, {}
  for _, thread in ipairs(threads) do
    for _, latency in ipairs(thread:get("latencies")) do table.insert(all, latency) end
    for status, count in pairs(thread:get("statuses")) do
      if status ~= 200 then errors[status] = (errors[status] or 0) + count end
    end
  end
  for what, count in pairs(summary.errors) do
    if what ~= "status" and count > 0 then errors[what] = count end
  end
  table.sort(all)
  local function percentile(part) return all[math.max(1, math.ceil(#all * part))] or "null" end
  local lines = {}
  for what, count in pairs(errors) do table.insert(lines, string.format('"%s": %d', what, count)) end
  print(string.format('{"calls": %d, "per_second": %.3f, "p50_ms": %s, "p99_ms": %s, "errors": {%s}}', #all,
    #all / summary.duration * 1e6, percentile(0.5), percentile(0.99), table.concat(lines, ", ")))
end
