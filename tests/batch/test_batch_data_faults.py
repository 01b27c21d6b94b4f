"""Inputs and outputs that cannot be used: clear words without content, no row lost, nothing sent that was not meant."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

import nomyo.batch
from nomyo import BatchError
from nomyo.batch import DataOptions
from support.batch_scene import PromptNotingRouter, whole_rows

CANARY = "canary-prompt-31bd"
ASKED = DataOptions(prompt_column="q", model="m")


@pytest.fixture
def run(noting: PromptNotingRouter, key_directory: Path, tmp_path: Path) -> Any:
    def run(source: object, output: str = "out.jsonl", data: DataOptions = ASKED) -> list[dict[str, Any]]:
        own: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory}
        nomyo.batch.run(tmp_path / str(source), tmp_path / output, data=data, **own)
        return [json.loads(line) for line in (tmp_path / output).read_bytes().splitlines()]

    return run


def refused(run: Any, source: object, words: str, noting: PromptNotingRouter, **options: Any) -> None:
    """Check that an input is refused in these words, that these show no content, and that nothing is sent or made."""
    with pytest.raises((ValueError, BatchError, OSError), match=words) as caught:
        run(source, **options)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert noting.prompts == []


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def texts(*values: bytes) -> pa.Array:
    """Return a column of texts that need not be UTF-8."""
    return pa.array(values, pa.binary()).view(pa.string())


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([1], "int64"),
        ([[CANARY]], "list<"),
        ([{"a": CANARY}], "struct<"),
        ([CANARY.encode()], "binary"),
        ([0.5], "double"),
    ],
)
def test_prompts_that_are_no_text_are_refused(
    column: list[Any], kind: str, run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    parquet(tmp_path / "in.parquet", q=column)
    refused(run, "in.parquet", f"prompt_column: the column 'q' of in.parquet must be text, and it is {kind}", noting)


def test_prompt_of_another_type_in_json_is_an_error_of_its_row(run: Any, tmp_path: Path) -> None:
    rows = [
        '{"q": "a"}',
        '{"q": 7}',
        '{"q": ["x"]}',
        "{}",
        "[]",
        '{"q": "b", "q": "c"}',
        '{"q": "\\ud800"}',
        '{"q": "z"}',
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(rows))
    assert [(row["response"], row["error"]) for row in run("in.jsonl")] == [
        ("a", None),
        (None, "invalid_row: the prompt is no text"),
        (None, "invalid_row: the prompt is no text"),
        (None, "invalid_row: the row lacks the prompt's column"),
        (None, "invalid_row: the line is not a JSON object"),
        (None, "invalid_row: the line has the same name twice in one object"),
        ("\ufffd", None),
        ("z", None),
    ]


def test_texts_that_are_not_utf_8_are_errors_of_their_rows(
    run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    table = pa.table({"q": texts(b"a", b"b\xff", b"c"), "other": texts(b"x", b"y", b"\xfez")})
    pq.write_table(table, tmp_path / "in.parquet")
    with pa.ipc.new_file(tmp_path / "in.arrow", table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "in.csv").write_bytes(b"q,other\na,x\nb\xff,y\nc,\xfez\n")
    (tmp_path / "in.jsonl").write_bytes(b'{"q": "a"}\n{"q": "b\xff"}\n{"q": "c", "other": null}\n')
    for kind in ("parquet", "arrow"):
        rows = run(f"in.{kind}", f"{kind}.jsonl")
        assert [(row["q"], row["other"], row["response"]) for row in rows] == [
            ("a", "x", "a"),
            (None, "y", None),
            ("c", None, "c"),
        ]
        assert rows[1]["error"] == "invalid_row: the prompt is not UTF-8"
    assert [row["error"] for row in run("in.csv", "csv.jsonl")] == [None, *["invalid_row: the row is not UTF-8"] * 2]
    assert [row["error"] for row in run("in.jsonl", "jsonl.jsonl")] == [
        None,
        "invalid_row: the line is not UTF-8",
        None,
    ]
    assert all("b" not in prompt for prompt in noting.prompts)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("in.parquet", b"PAR1" + bytes(50), "in.parquet is cut short or damaged: it cannot be read as Parquet"),
        ("in.parquet", b"", "cannot be read as Parquet"),
        ("in.arrow", b"ARROW1\0\0" + bytes(20), "cannot be read as Arrow IPC"),
        ("in.arrow", CANARY.encode() * 9, "cannot be read as Arrow IPC"),
        ("in.csv", b'q,r\na,"' + CANARY.encode(), "in.csv: the quotes of row 1 are never closed"),
        ("in.csv", b'q,"r\n' + CANARY.encode(), "in.csv: the quotes of the header are never closed"),
        ("in.csv", b"q,r,r\na,b,c\n", "in.csv has the same name for two columns: 'r'"),
        ("in.csv", b"q\xff,r\na,b\n", "the first row of in.csv is not CSV"),
        ("in.csv", b"", "has no column 'q'; it has no column"),
        (
            "in.csv.gz",
            gzip.compress(b"q\n" + CANARY.encode() * 99, mtime=0)[:-9],
            "in.csv.gz is cut short, or is not compressed",
        ),
        ("in.jsonl.gz", b'{"q": "a"}\n', "in.jsonl.gz is cut short, or is not compressed as its name says"),
        ("in.jsonl.zst", b'{"q": "a"}\n', "in.jsonl.zst is cut short, or is not compressed as its name says"),
        ("in.parquet.gz", gzip.compress(b"PAR1", mtime=0), "cannot be read as Parquet"),
        ("in.xlsx", b"x", "the name of .*in.xlsx says no format"),
        ("in.csv", b"Q\na\n", "no column 'q'"),
    ],
)
def test_files_that_are_damaged_or_something_else_are_refused(
    name: str, content: bytes, words: str, run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    refused(run, name, words, noting)
    assert not (tmp_path / "out.jsonl").exists()


def test_parquet_that_is_cut_short_anywhere_is_refused(run: Any, noting: PromptNotingRouter, tmp_path: Path) -> None:
    whole = parquet(tmp_path / "in.parquet", q=[CANARY] * 50).read_bytes()
    for size_bytes in range(len(whole) - 1, 4, -len(whole) // 9):
        (tmp_path / "in.parquet").write_bytes(whole[:size_bytes])
        refused(run, "in.parquet", "cut short or damaged", noting)


def test_damage_in_the_middle_keeps_what_was_answered(run: Any, noting: PromptNotingRouter, tmp_path: Path) -> None:
    table = pa.table({"q": [f"{CANARY} {number:040}" for number in range(60)]})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=20, compression="zstd", use_dictionary=False)
    content = bytearray((tmp_path / "in.parquet").read_bytes())
    last = pq.ParquetFile(tmp_path / "in.parquet").metadata.row_group(2).column(0)
    start = last.data_page_offset
    content[start : start + last.total_compressed_size] = bytes(last.total_compressed_size)
    (tmp_path / "in.parquet").write_bytes(content)
    with pytest.raises(BatchError, match=r"in\.parquet is cut short or damaged") as caught:
        run("in.parquet")
    assert CANARY not in str(caught.value)
    assert len(noting.prompts) == 40
    assert len(whole_rows(tmp_path / "out.jsonl.journal")) == 40
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("given", ["folder", "folder/*.jsonl"])
def test_link_without_a_target_is_no_file_to_pass_over(
    given: str, run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"q": "one"}\n')
    (folder / "b.jsonl").symlink_to("missing")
    refused(run, given, "No such file", noting)


def test_link_to_a_folder_is_not_passed_over(run: Any, noting: PromptNotingRouter, tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    for each in (folder, other):
        (each / "a.jsonl").write_text('{"q": "one"}\n')
    (folder / "more").symlink_to(other)
    refused(run, "folder", "more is a link to a folder", noting)


def test_glob_and_folder_without_files_are_refused(run: Any, noting: PromptNotingRouter, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "README.md").write_text("x")
    refused(run, "*.parquet", r"no file matches .*\*\.parquet", noting)
    refused(run, "empty", "has no file of a known format", noting)
    refused(run, "nothing.parquet", "No such file", noting)


def test_json_lines_without_a_row_are_no_fault(run: Any, noting: PromptNotingRouter, tmp_path: Path) -> None:
    """Whoever writes many parts leaves some empty."""
    (tmp_path / "parts").mkdir()
    for name, text in (("a", ""), ("b", '{"q": "one"}\n'), ("c", "\n")):
        (tmp_path / "parts" / f"{name}.jsonl").write_text(text)
    assert [row["response"] for row in run("parts")] == ["one"]
    (tmp_path / "empty.jsonl").write_text("\n")
    assert run("empty.jsonl", "none.jsonl") == []
    (tmp_path / "parts" / "b.jsonl").write_text('{"Q": "one"}\n')
    with pytest.raises(ValueError, match="has no column 'q'"):
        run("parts", "other.jsonl")
    assert noting.prompts == ["one"]


def test_first_row_of_a_file_without_a_header_is_cut_in_the_error(
    run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(f"7,{'word ' * 8}{CANARY}\n8,other\n")
    refused(run, "in.csv", r"has no column 'q'; it has '7', 'word word word word word word word word '\.\.\.$", noting)


def test_files_that_differ_are_refused(run: Any, noting: PromptNotingRouter, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    parquet(tmp_path / "parts" / "a.parquet", q=["a"], n=[1])
    parquet(tmp_path / "parts" / "b.parquet", q=["b"])
    refused(run, "parts", "'n' is int64 in a.parquet, and missing in b.parquet", noting)
    parquet(tmp_path / "parts" / "b.parquet", q=["b"], n=["x"])
    refused(run, "parts", "'n' is int64 in a.parquet, and string in b.parquet", noting)
    (tmp_path / "parts" / "b.parquet").rename(tmp_path / "parts" / "b.csv")
    refused(run, "parts", "must have one format: a.parquet is Parquet, and b.csv is CSV", noting)
    (tmp_path / "parts" / "b.csv").unlink()
    parquet(tmp_path / "parts" / "c.parquet", n=[2], q=["c"])
    assert [row["response"] for row in run("parts")] == ["a", "c"], "their order does not matter"


def test_output_that_is_something_else_is_refused_and_stays(
    run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    parquet(tmp_path / "in.parquet", q=["a"])
    (tmp_path / "folder.jsonl").mkdir()
    refused(run, "in.parquet", "is a folder: name a file in it", noting, output="folder.jsonl")
    refused(run, "in.parquet", "the folder .*missing does not exist", noting, output="missing/out.jsonl")
    refused(run, "in.parquet", "the name of .*out.txt says no format", noting, output="out.txt")
    (tmp_path / "folder").mkdir()
    refused(run, "in.parquet", "is a folder: name a file in it", noting, output="folder")
    own: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "data": ASKED}
    with pytest.raises(BatchError, match=r"missing\.parquet/ is a folder: name a file in it"):
        nomyo.batch.run(tmp_path / "in.parquet", f"{tmp_path}/missing.parquet/", **own)
    (tmp_path / "mine.jsonl").write_text("mine")
    refused(run, "in.parquet", "mine.jsonl holds something else already", noting, output="mine.jsonl")
    (tmp_path / "out.jsonl.journal").write_text("mine")
    refused(run, "in.parquet", "out.jsonl.journal holds something else already", noting)
    assert (tmp_path / "out.jsonl.journal").read_text() == (tmp_path / "mine.jsonl").read_text() == "mine"
    before = (tmp_path / "in.parquet").read_bytes()
    (tmp_path / "in.parquet.journal").write_bytes(b"")
    refused(run, "in.parquet", "the output must not be the input", noting, output="in.parquet")
    assert (tmp_path / "in.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "output", "journal"),
    [
        ("parts", "parts/out.csv", None),
        ("parts", "parts/deep/out.csv.gz", None),
        ("parts/*.csv", "parts/out.csv", None),
        ("parts/**/*.csv", "parts/deep/out.csv", None),
        ("link", "parts/out.csv", None),
        ("parts", "out.csv", "parts/answers.csv"),
    ],
)
def test_output_that_would_be_a_part_of_the_input_is_refused(
    given: str, output: str, journal: str | None, run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    """Else the batch would do its work, and no later run could go on with it."""
    (tmp_path / "parts" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("parts")
    for name in ("a.csv", "deep/b.csv"):
        (tmp_path / "parts" / name).write_text("q\nx\n")
    data = DataOptions(prompt_column="q", model="m", journal=tmp_path / journal if journal else None)
    refused(
        run, given, "would be a part of the input from then on: name a place outside", noting, output=output, data=data
    )


@pytest.mark.parametrize(
    ("given", "output"),
    [("parts", "parts/_out.jsonl"), ("parts/*.csv", "parts/deep/out.csv"), ("parts/*.csv", "parts/out.jsonl")],
)
def test_output_beside_the_input_may_have_a_name_that_it_passes_over(
    given: str, output: str, noting: PromptNotingRouter, key_directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "parts" / "deep").mkdir(parents=True)
    (tmp_path / "parts" / "a.csv").write_text("q\nx\n")
    own: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory, "data": ASKED}
    for _ in range(2):
        assert nomyo.batch.run(tmp_path / given, tmp_path / output, **own).succeeded == 1
    assert noting.prompts == ["x"]


def test_output_that_appears_meanwhile_is_not_replaced(run: Any, noting: PromptNotingRouter, tmp_path: Path) -> None:
    parquet(tmp_path / "in.parquet", q=["a"])
    noting.delay_s = 0.5
    import threading

    threading.Timer(0.2, (tmp_path / "out.jsonl").write_text, ["mine"]).start()
    with pytest.raises(FileExistsError):
        run("in.parquet")
    assert (tmp_path / "out.jsonl").read_text() == "mine"
    assert len(whole_rows(tmp_path / "out.jsonl.journal")) == 1


def test_formats_that_say_nothing_of_what_rows_ask_are_refused(
    run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    parquet(tmp_path / "in.parquet", q=["a"])
    refused(run, "in.parquet", "Parquet says nothing of what its rows ask", noting, data=DataOptions())


@pytest.mark.slow("cells of 11 MiB")
@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "arrow"])
def test_large_cells_are_rows_like_others(kind: str, run: Any, noting: PromptNotingRouter, tmp_path: Path) -> None:
    """A payload has 10 MiB at most; the column beside it may have more."""
    prompts, others = ["a", "b" * (11 << 20), "c" * (1 << 20)], ["x" * (11 << 20), "y", "z"]
    table = pa.table({"q": prompts, "other": others})
    if kind == "parquet":
        pq.write_table(table, tmp_path / "in.parquet")
    elif kind == "arrow":
        with pa.ipc.new_stream(tmp_path / "in.arrow", table.schema) as writer:
            writer.write_table(table)
    else:
        rows = zip(prompts, others, strict=True)
        lines = [f"{q},{o}" if kind == "csv" else json.dumps({"q": q, "other": o}) for q, o in rows]
        (tmp_path / f"in.{kind}").write_text("\n".join((["q,other"] if kind == "csv" else []) + lines))
    rows = run(f"in.{kind}")
    assert [len(row["other"]) for row in rows] == [11 << 20, 1, 1]
    assert [row["response"] and len(row["response"]) for row in rows] == [1, None, 1 << 20]
    assert "grows beyond 10485760 bytes" in rows[1]["error"]
    assert sorted(map(len, noting.prompts)) == [1, 1 << 20]


def test_nested_columns_stand_in_every_format(run: Any, tmp_path: Path) -> None:
    nested = [{"a": [1, None], "b": {"c": "x"}}, None]
    parquet(tmp_path / "in.parquet", q=["a", "b"], nested=nested, data=[b"\0\xff", None])
    assert [(row["nested"], row["data"]) for row in run("in.parquet")] == [(nested[0], "AP8="), (None, None)]
    own = DataOptions(prompt_column="q", model="m", journal=tmp_path / "out.jsonl.journal")
    with pytest.raises(ValueError):
        run("in.parquet", "out.csv", own)  # which is no JSON
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[1].startswith('a,"{""a"": [1, null], ""b"": {""c"": ""x""}}",AP8=,a,stop,')


def test_file_that_nobody_may_read_is_named(run: Any, noting: PromptNotingRouter, tmp_path: Path) -> None:
    (tmp_path / "in.parquet").mkdir()
    refused(run, "in.parquet", "has no file of a known format", noting)
    os.mkfifo(tmp_path / "in.csv")
    refused(run, "in.csv", "the input must be a file, which can be read twice", noting)
