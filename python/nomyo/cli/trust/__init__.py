"""`nomyo trust`: the keys by which routers are known, attestations, and audit logs.

Modules, from the ground up; each imports only from those above it:

    group        the group itself, and what its subcommands share
    known_keys   the subcommands that show and change what is known
    logged_keys  the subcommands that read and verify the key log
    audit_logs   the subcommand that verifies an audit log
    attested     the subcommands that ask for the attestation of a router's TPM, and write a policy from it
    command      the command, with all of them
"""
