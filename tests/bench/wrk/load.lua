-- Sends the body of the file "body". Its settings stand before it: pause, in milliseconds, first, and wrk.headers.

wrk.method = "POST"
local file = assert(io.open("body", "rb"))
wrk.body = file:read("*a")
file:close()

local keys = {}
for key in io.lines("keys") do
  keys[#keys + 1] = key
end

-- With keys, each request is the next one's, from the first on; without, wrk sends the same bytes again and again.
if #keys > 0 then
  local requests, n = {}, first - 1 -- wrk asks for one request that it does not send
  function request()
    n = n % #keys + 1
    if not requests[n] then
      wrk.headers["Authorization"] = "Bearer " .. keys[n]
      requests[n] = wrk.format()
    end
    return requests[n]
  end
end

if pause > 0 then
  function delay()
    return math.random(0, 2 * pause)
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\nfigures {"requests":%d,"errors":%d,"duration":%d,"p50":%d,"p99":%d}\n', summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout, summary.duration, latency:percentile(50), latency:percentile(99)))
end
