"""`nomyo batch`: sends a file of requests, and opens a sealed file of answers.

Modules, from the ground up; each imports only from those above it:

    limit_options the options of rates and budgets
    progress_bar  a bar in a terminal, by rich
    data_options  what rows of a table ask, and which columns the output has
    dry_run       shows what there is to send
    open_command  `nomyo batch open`
    command       `nomyo batch`
"""
