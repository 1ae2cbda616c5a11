-- Reads users in turn: the paths that stand in the file in PEER_PATHS.
wrk.headers["Authorization"] = "Bearer " .. os.getenv("PEER_TOKEN")
local requests = {}
local number = 0

function init()
    for path in io.lines(os.getenv("PEER_PATHS")) do
        table.insert(requests, wrk.format("GET", path))
    end
end

function request()
    number = number % #requests + 1
    return requests[number]
end
