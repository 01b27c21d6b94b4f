"""One encrypted request, without I/O, and the two drivers that run it.

Modules, from the ground up; each imports only from those above it:

    loop_local         one object for each event loop and owner; it goes when either does
    slots              concurrency slots: at most N requests are sealed, sent and opened at once
    effects            what a flow may ask of its driver; no repr of one shows its content
    evidence           what a call exchanges that can be kept as evidence
    jobs               work that event loops hand to threads, and its outcomes on their way back
    crypto_threads     the threads that seal and open for event loops: one queue, one for each core
    workers            two thread pools: for key generation (half a second and more), for files
    trace              the debug log: sizes, times, statuses
    tracebacks         clears local variables from the tracebacks of errors that leave the package
    retries            backoff and `Retry-After`: whether and how long to wait before the next attempt
    limit_headers      headers in which services state their limits, in all their spellings
    own_names          gives a public class the methods of its private base under its own name
    redaction          hides credentials in a text, whatever escapes it spells them with
    html_text          the text of a page in HTML
    error_body         what a server says in an error: decoded, parsed, without credentials, then bounded
    wrong_address      what is said of an address at which no router answers
    protocol           URLs, headers, bounds, statuses and errors of the wire
    call               one chat request: what of it is sealed, and what says where and how it travels
    recorder           the interface of what keeps evidence of calls
    loopback           whether a host is this machine
    paths              paths that a user gives, fixed before the working directory changes
    passwords          a key pair's password, from a file into locked memory
    settings           the options of a client, checked
    signatures         the options of a client, shown by `help()` where they are taken as `**options`
    startup            what a new client turns on and checks: the debug log, memory, plain HTTP, the API key
    new_keys           the options of `generate_keys`, checked
    key_file_warnings  what the user is warned of after key files were read or written
    key_directory      makes a key directory, and keeps it out of git
    key_files          which key files are read and written, and which are somebody else's
    client_keys        our own key pair: opened in the background, leased to requests, rotated, wiped
    lifetime           whether a client may still be used: not after `dispose`, not in a forked child
    spans              a span of OpenTelemetry for each request, if the program uses that
    attempts           sends a request until there is an answer, with retries
    key_judge          the interface by which an exchange asks if a key may be the router's
    server_key         the router's key: cache, pins, single flight
    envelope           seals requests and opens answers: in which thread, and in what memory
    flow               the flows of one client, above all that of a request
    http               the one place of the exchange that names the HTTP libraries, and reads the environment
    driver             runs a flow, with and without an event loop
"""
