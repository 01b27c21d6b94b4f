"""`nomyo keys`: makes, shows, rotates and checks the key pair of a client.

Modules, from the ground up; each imports only from those above it:

    condition  finds what is wrong with a key directory
    command    the subcommands of `nomyo keys`
"""
