"""`nomyo batch`: sends a file of requests, opens a sealed file of answers, and reports what became of it.

Modules, from the ground up; each imports only from those above it:

    limit_options  the options of rates, budgets and figures
    figure_table   figures as a table
    progress_bar   a bar in a terminal, by rich
    data_options   what rows of a table ask, and which columns the output has
    dry_run        shows what there is to send
    interruptible  runs a batch until it ends, or a signal stops it
    outcome        what it says at its end
    open_command   `nomyo batch open`
    report_command `nomyo batch report`
    command        `nomyo batch`
"""
