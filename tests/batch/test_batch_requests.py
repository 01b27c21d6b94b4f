"""What the rows of a table ask: a prompt, messages, or a template; and which columns the output has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nomyo.batch
from nomyo.batch import DataOptions
from nomyo.batch.data.dry_run import rows_of
from nomyo.batch.records import BadRow, Row
from support.batch_scene import rows_of as lines_of
from support.process import unmeasured

MODEL: dict[str, Any] = {"model": "m"}


def asked(path: Path, **options: Any) -> list[Any]:
    """Return what the rows of a file ask: bodies, or the words of what is wrong."""
    rows = rows_of(path, DataOptions(**{**MODEL, **options}))
    return [row.body if isinstance(row, Row) else str(row) for row in rows]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "in.parquet"
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u", "name": "n"}]
    columns = {
        "question": ["a", None, " ", "d"],
        "topic": ["x", "y", "z", None],
        "number": [1, 2, 3, 4],
        "talk": pa.array([messages, [], None, messages[1:]]),
        "as json": [json.dumps(messages), "{", '[{"role": 1}]', json.dumps(messages)],
    }
    pq.write_table(pa.table(columns), path)
    return path


def test_prompt_with_system_message_and_parameters(table: Path) -> None:
    assert asked(table, prompt_column="question", system="s", parameters={"temperature": 0.2}) == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}],
            "temperature": 0.2,
        },
        "the prompt is null",
        "the prompt is empty",
        {
            "model": "m",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "d"}],
            "temperature": 0.2,
        },
    ]


def test_messages_as_structs_and_as_json(table: Path) -> None:
    first = [{"role": "system", "content": "s"}, {"role": "user", "content": "u", "name": "n"}]
    assert asked(table, messages_column="talk") == [
        {"model": "m", "messages": first},
        "messages must be a list that is not empty",
        "messages are null",
        {"model": "m", "messages": first[1:]},
    ]
    assert asked(table, messages_column="as json")[1:3] == [
        "messages is not JSON: character 2",
        "each message must have a role",
    ]
    assert asked(table, messages_column="as json")[0] == {"model": "m", "messages": first}


def test_template_makes_prompts_of_columns(table: Path, tmp_path: Path) -> None:
    template = tmp_path / "prompt.j2"
    template.write_text("{{ topic | upper }} {{ row['number'] + 1 }}\n")
    rows = asked(table, template=template)
    assert [row["messages"][0]["content"] for row in rows[:3]] == ["X 2", "Y 3", "Z 4"]
    assert rows[3] == "the template fails on this row (UndefinedError)", "null is not the word None"
    template.write_text("{{ topic | default('-') }}{% if topic is defined %}!{% endif %}")
    assert [row["messages"][0]["content"] for row in asked(table, template=template)] == ["x!", "y!", "z!", "-"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ topik }}", "template: in.parquet has no column 'topik'. Did you mean 'topic'?"),
        ("{% if %}", "cannot be used: line 1: "),
        ("{{ x", "cannot be used: line 1: "),
    ],
)
def test_template_that_cannot_be_used_is_refused(text: str, words: str, table: Path, tmp_path: Path) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        asked(table, template=tmp_path / "t")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ row['nothing'] }}", "UndefinedError"),
        ("{{ number / (number - 2) }}", "ZeroDivisionError"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{{ row.update({'a': 1}) }}", "SecurityError"),
        ("{% include '/etc/hostname' %}", "TypeError"),
        ("{% for i in range(10 ** 9) %}{% endfor %}x", "OverflowError"),
    ],
)
def test_template_that_fails_on_a_row_is_an_error_of_the_row(
    text: str, fault: str, table: Path, tmp_path: Path
) -> None:
    (tmp_path / "t").write_text(text)
    assert asked(table, template=tmp_path / "t")[1] == f"the template fails on this row ({fault})"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt_column": "a", "messages_column": "b"}, "give one of"),
        ({"prompt_column": "a", "model": None}, "model is needed"),
        ({"prompt_column": "a", "parameters": {"api_key": "k"}}, "'api_key'"),
        ({"prompt_column": "a", "parameters": {"messages": []}}, "'messages'"),
        ({"prompt_column": "a", "parameters": {"x": float("nan")}}, "values that JSON has"),
        ({}, "model, system and parameters need"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DataOptions(**{**MODEL, **options})


@pytest.fixture
def run(router: Any, key_directory: Path, table: Path) -> Any:
    def run(output: Path, **options: Any) -> list[str]:
        own = {"base_url": router.url, "allow_http": True, "key_dir": key_directory}
        nomyo.batch.run(table, output, data=DataOptions(prompt_column="question", model="m", **options), **own)
        return list(lines_of(output)[0])

    return run


def test_output_has_the_columns_that_are_asked_for(run: Any, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    assert run(output, columns=["number", "reply=response", "why=answer.finish_reason"]) == ["number", "reply", "why"]
    assert lines_of(output)[0] == {"number": 1, "reply": "a", "why": "stop"}
    body = ["body"]
    assert run(output, columns=body) == body, "other columns are no other batch"


@pytest.mark.parametrize(
    ("columns", "words"),
    [(["respons"], "has 'respons'. Did you mean 'response'"), (["topic", "topic=number"], "would have 'topic' twice")],
)
def test_columns_that_cannot_be_had_are_refused_before_anything_is_sent(
    columns: list[str], words: str, run: Any, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        run(tmp_path / "out.jsonl", columns=columns)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet"]


def test_input_with_a_column_of_the_answer_s_name_is_refused(run: Any, table: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": ["a"], "response": ["old"]}), table)
    with pytest.raises(ValueError, match=r"would have 'response' twice.*reply=answer\.response"):
        run(tmp_path / "out.jsonl")
    output = tmp_path / "out.jsonl"
    assert run(output, columns=["response", "reply=answer.response"]) == ["response", "reply"]
    assert lines_of(output) == [{"response": "old", "reply": "a"}]


def command(*words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    words = (sys.executable, "-m", "nomyo", "batch", *words)
    return subprocess.run(words, input=given, capture_output=True, timeout=60, check=False, env=unmeasured())


def test_dry_run_shows_the_first_requests(table: Path) -> None:
    options = ["--prompt-column", "topic", "--model", "m", "--param", "n=1", "--param", "user=u", "--dry-run"]
    done = command(str(table), *options)
    assert done.returncode == 3, done.stderr
    shown = [line for line in done.stdout.decode().splitlines() if line.startswith("  in.parquet:")]
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 1, "user": "u"}
    assert [line.split(": ", 1)[0] for line in shown] == [f"  in.parquet:{number}" for number in (1, 2, 3)]
    assert json.loads(shown[0].split(": ", 1)[1]) == body
    assert b"line 4: the prompt is null" in done.stdout
    told = json.loads(command(str(table), *options, "--json").stdout)
    assert told["first_requests"][0] == {"custom_id": "in.parquet:1", "body": body}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "the files of an input must be alike: column 'journal' is text in a.csv, and missing in b.csv"),
        (["--columns", "q,q"], "--columns: the output would have 'q' twice"),
    ],
)
def test_only_options_are_called_as_they_are_typed(options: list[str], words: str, tmp_path: Path) -> None:
    """Not columns that are called as an option, nor words that an option is called by."""
    (tmp_path / "a.csv").write_text("q,journal\nx,y\n")
    (tmp_path / "b.csv").write_text("q\nx\n" if not options else "q,journal\nx,y\n")
    done = command(str(tmp_path), "--prompt-column", "q", "--model", "m", "--dry-run", *options)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.decode().split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--prompt-column", "question"], "--model is needed"),
        (["-m", "m"], "--model, --system and --param need --prompt-column, --messages-column or --template;"),
        (["--prompt-column", "q", "--template", "t"], "--prompt-column, --messages-column and --template,"),
        (["--template", "t", "-m", "m"], "--template: in.parquet has no column 'topik'"),
    ],
)
def test_options_that_are_missing_are_called_as_they_are_typed(
    options: list[str], words: str, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(table.parent)
    Path("t").write_text("{{ topik }}")
    done = command(table.name, "--dry-run", *options)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.decode().split())


def test_stdin_to_stdout(router: Any, key_options: list[str], tmp_path: Path) -> None:
    rows = b'{"q": "a"}\n{"q": null}\n\n{"q": "c"}\n'
    options = ["--base-url", router.url, "--allow-http", *key_options, "--prompt-column", "q", "--model", "m"]
    refused = command("-", "-o", "-", *options, given=rows)
    assert (refused.returncode, b"--journal is needed" in refused.stderr) == (2, True), refused.stderr
    done = command("-", "-o", "-", *options, "--journal", str(tmp_path / "kept"), "--quiet", given=rows)
    assert done.returncode == 3, done.stderr
    written = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["q"], row["response"], row["error"]) for row in written] == [
        ("a", "a", None),
        (None, None, "invalid_row: the prompt is null"),
        ("c", "c", None),
    ]
    assert [row["custom_id"] for row in written] == ["stdin:1", "stdin:2", "stdin:3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "kept.batch"]


def test_bad_rows_are_named_by_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b'q,r\na,1\nb\n"c" d,1\nd,1,2\ne\xff,1\n,1\n"f\ng",1\n')
    rows = list(rows_of(tmp_path / "in.csv", DataOptions(prompt_column="q", model="m")))
    assert [(row.line, str(row)) for row in rows if isinstance(row, BadRow)] == [
        (2, "the row has 1 cell, and the header 2"),
        (3, "the row is not CSV: a quotation mark stands where none may stand"),
        (4, "the row has 3 cells, and the header 2"),
        (5, "the row is not UTF-8"),
        (6, "the prompt is empty"),
    ]
    assert [row.body["messages"][0]["content"] for row in rows if isinstance(row, Row)] == ["a", "f\ng"]
