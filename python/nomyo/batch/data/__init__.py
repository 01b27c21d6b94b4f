"""Batches on the data that people have: Parquet, Arrow, CSV and JSON lines, also compressed, and tables in memory.

Rows of any of these become the requests that a file in OpenAI's batch format would hold. The journal is the same, and
so is all that a batch promises. When every row is done, the answers are written beside the rows that they belong to.

Modules, from the ground up; each imports only from those above it:

    libraries    imports pyarrow and Jinja2, or names the extra that they come with
    options      what each row asks, and which columns the output has
    formats      the format of a file, by its name
    compressed   streams that are compressed with gzip or Zstandard
    files        the files of an input: one, a folder, a glob, or stdin
    records      a row of an input, with what is wrong with it
    repeated_cells  the size of the largest text that a file stores once for many rows
    plain_values values of Arrow as JSON and CSV can hold them
    scalars      values of Arrow that Python's types cannot hold
    text_files   reads CSV, TSV and JSON lines
    arrow_files  reads Parquet and Arrow's own files
    tables       reads what a program has in memory
    columns      checks that columns are there
    template     a prompt from a template
    requests     makes a request of a row
    answers      the columns of an answer, from its row in the journal
    selection    which columns the output has, and under which names
    metadata     the metadata of an input that an output keeps
    journal_rows finds rows of a journal by their numbers
    sealed_columns  seals the columns of the input, and opens them
    outputs      writes rows with their answers, in each format
    assembly     joins the rows of an input with their answers
    opening      opens the sealed rows of an output
    source       an input with its output, as a run sees them
    portions     the rows of an input in portions, each of which becomes a file of its own
    dry_run      the rows of an input, without an output

See docs/data.md.
"""
