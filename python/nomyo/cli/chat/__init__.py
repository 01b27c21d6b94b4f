"""`nomyo chat`: one prompt, or a conversation in the terminal.

Modules, from the ground up; each imports only from those above it:

    request       what all requests of one run have in common, and what an answer says
    facts         what an answer says of itself, fit for a line of a terminal
    one_prompt    one prompt, one answer on stdout
    conversation  a conversation, in memory only
    interactive   a conversation in the terminal
    command       options in, an answer or a conversation out
"""
