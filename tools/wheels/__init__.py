"""Builds the wheels that are published, and checks them.

Modules, from the ground up; each imports only from those above it:

    targets      the machines that get a wheel
    source       the folder that is built: its commit, and the date of that
    unwinder     has a wheel use the system's unwinder
    c_library    has a wheel name musl as Alpine does
    rewrite      takes out of a wheel what depends on the machine that built it
    build        compiles one wheel so that it does not depend on that machine otherwise
    checks       what each wheel has to be, before anybody installs it
    example_run  a program of its own, which runs an example against a router
    systems      the Pythons that run a wheel, compiled for musl or emulated
    smoke        installs a wheel where there is no Rust, and runs README's first example
    reproduce    builds wheels twice, and compares them
"""
