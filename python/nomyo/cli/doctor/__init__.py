"""`nomyo doctor`: measures what protects secrets in memory here, and advises.

Modules, from the ground up; each imports only from those above it:

    machine  the facts, measured
    command  the facts in words, and the remedies of each weakness
"""
