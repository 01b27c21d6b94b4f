"""The command `nomyo`: every subcommand, and what they share. It imports all others, and nobody imports it.

Modules, from the ground up; each imports only from those above it, and no subcommand from another:

    streams          stdout and stderr of a command
    foreground       whether a command may draw on its terminal
    quiet_imports    Ctrl-C while a command imports its modules
    answer_output    an answer on its way to stdout
    path_arguments   refuses paths that name no file of their own
    plain_values     values of options that need no pydantic to be read
    utf8_argument    arguments that become content: their bytes, as UTF-8
    model_options    the options that name models
    option_groups    options that several commands take together
    router_options   the options of every command that speaks to a router
    command_app      help with the sections of a man page, failures in words, exit codes
    proxy_client     the client of a proxy that a command runs
    password_prompt  asks for a password without echo
    key_password     the password of a key pair: from a file, or asked for
    tls_files        the TLS files that a command serves with
    chat             one prompt, or a conversation
    batch            a file of requests to a file of answers; and `nomyo batch open`
    keys             the key pair of a client
    trust            the keys by which routers are known, attestations, and audit logs
    demo             an encrypted chat on this machine, and what the wire saw
    proxy            an OpenAI-compatible server on this machine
    launch           a coding agent whose requests to its model are sealed
    models           the models that the proxy lists
    router           a router for local work
    doctor           how well this machine can protect secrets
    completion       completion in the shell
    entry            finds the subcommand, and names the extra that it lacks
"""

from nomyo.cli.entry import main

__all__ = ["main"]
