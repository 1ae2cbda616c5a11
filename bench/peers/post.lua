-- Creates users: the document of the file in PEER_DOCUMENT, each time with a userName that nobody has.
local file = assert(io.open(os.getenv("PEER_DOCUMENT")))
local document = file:read("*a")
file:close()
local run = os.getenv("PEER_RUN")
local number = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/scim+json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("PEER_TOKEN")

function request()
    number = number + 1
    return wrk.format(nil, nil, nil, (document:gsub("USERNAME", run .. "-" .. number)))
end
