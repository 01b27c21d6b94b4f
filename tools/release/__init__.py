"""What a release needs beside the files that are built; the Makefile and the workflow `release.yml` call it.

Modules, from the ground up; each imports only from those above it:

    project    what pyproject.toml, Cargo.toml and git say: version, addresses, tag
    changelog  the section of a version
    links      links of the README for a page elsewhere
    metadata   puts such a README into wheels and source distributions
    check      what stands in the way of a release
"""
