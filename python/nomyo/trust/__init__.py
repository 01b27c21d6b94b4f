"""What a client believes about its router, and what it keeps as evidence.

Modules, from the ground up; each imports only from those above it:

    state_directory  where files of a user's state are by default
    chain            files of hash-chained lines of JSON: many processes append to one, and anybody can verify it
    open_chain       such a file that stays open between lines, and is synced behind its writers
    sync_behind      calls a sync behind those who write
    audit_line       the lines of an audit log, as JSON without their chain
    audit_log        the audit log of this process: a line for each request, written where its answer was opened
    auditor          writes the evidence of a client's calls into its audit log
    audit_summary    verifies an audit log, and sums up what it says
    router_name      the name of a router among those that are known: host and port
    key_log          every key that was seen of each router, and how it was judged
    key_file         the file of known routers: its form, read strictly and replaced in one step
    key_replay       what the log alone tells: for a file that was removed beside it
    known_routers    first-use trust: what happens when a router shows a key, and what its user decides
    judge            asks the known routers on behalf of a client
    of_client        what a client trusts and keeps, by its options
    key_check        whether the known routers and the key log tell the same
"""
