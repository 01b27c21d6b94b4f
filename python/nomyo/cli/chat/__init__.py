"""`nomyo chat`: one prompt, or a conversation in the terminal.

Modules, from the ground up; each imports only from those above it:

    request       what all requests of one run have in common, and what an answer says
    facts         what an answer says of itself, fit for a line of a terminal
    markdown      an answer's Markdown, laid out for a terminal
    display       how an answer and its reasoning are shown
    waiting       the line that counts the seconds until an answer is there
    prompt_source where a prompt comes from: arguments, stdin, a secret file
    one_prompt    one prompt, one answer on stdout
    conversation  a conversation, in memory only
    interactive   a conversation in the terminal
    command       options in, an answer or a conversation out
"""
