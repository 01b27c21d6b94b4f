"""`nomyo launch`: a coding agent whose requests to its model are sealed, for as long as it runs.

Promises, each held by a test: what the agent asks its model leaves this machine sealed; no file of the user's is read
or changed by us; the agent does not get the router's API key, and the proxy's token is on no command line; the command
ends with the agent's exit code, and neither the agent nor the proxy outlives it.

Modules, from the ground up; each imports only from those above it:

    agent         what an agent is told, and what is known of one
    codex         OpenAI's Codex
    claude        Anthropic's Claude Code
    opencode      opencode
    agents        the agents that there are, by the names of their programs
    surroundings  the environment of an agent's process
    left_behind   ends what an agent left running when it was told to end
    process       the agent's process: its signals, its terminal, its end
    command       options in, an agent's exit code out
"""
