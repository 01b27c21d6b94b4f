"""What a client believes about its router, and what it keeps as evidence.

Modules, from the ground up; each imports only from those above it:

    chain  files of hash-chained lines of JSON: many processes append to one, and anybody can verify it
"""
