"""Builds the documentation as a site: `make docs` writes it to target/site, with llms.txt and llms-full.txt.

The pages stay where they are read on GitHub, in docs/ and beside README.md. docs/index.md names them all, in the form
of llmstxt.org: its sections are the navigation. Sphinx builds the site from copies, in which only links differ.

Modules, from the ground up; each imports only from those above it:

    index      reads docs/index.md: the sections, and the place of each page on the site
    links      finds the links of a page, and rewrites them
    reference  splits the long reference into a page a module
    staging    writes the copies from which Sphinx builds
    llms       writes llms.txt and llms-full.txt
"""
