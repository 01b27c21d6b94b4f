"""One encrypted request, without I/O, and the two drivers that run it.

Modules, from the ground up; each imports only from those above it:

    effects      what a flow may ask of its driver
    workers      the threads for RSA work and key generation
    trace        the debug log: sizes, times, statuses
    discreet     empties the frames of errors that leave the package
    settings     the options of a client, checked
    protocol     URLs, headers, bounds, statuses and errors of the wire
    retries      whether and how long to wait before the next attempt
    client_keys  our own key pair: opening, leasing, rotation, wiping
    server_key   the router's key: cache, pins, single flight
    flow         one request, from payload to response
    http         the one place that names the HTTP library
    driver       runs a flow, with and without an event loop
"""
