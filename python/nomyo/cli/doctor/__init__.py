"""`nomyo doctor`: measures what protects secrets in memory here, and advises; `--self` examines this copy of nomyo.

Modules, from the ground up; each imports only from those above it:

    machine       the facts about the machine, measured
    record        compares installed files with RECORD
    bytecode      compares cached byte code with its source
    shadows       finds modules in the place of others, and `.pth` files of nobody
    installation  the facts about this copy
    self_report   these in words
    command       the facts about the machine in words, the remedies of each weakness, and the command
"""
