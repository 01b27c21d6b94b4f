"""Builds the wheels that are published, and checks them.

targets  the machines that get a wheel
source   the folder that is built: its commit, and the date of that
unwinder has a wheel use the system's unwinder
build    compiles one wheel so that it does not depend on the machine that compiles
rewrite  takes out of a wheel what still does
checks   what each wheel has to be, before anybody installs it
smoke    installs a wheel where there is no Rust, and runs README's first example
"""
