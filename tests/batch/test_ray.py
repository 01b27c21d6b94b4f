"""A batch over a Ray cluster: programs with the Python of `.venv-ray`, and a router here."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nomyo._core import PrivateKey, write_key_directory
from nomyo._install_command import install_command
from nomyo.batch.governor import Limits
from support.batch_scene import PromptNotingRouter, line_of, open_command, request, rows_of, write_input
from support.process import output_of
from support.windows import check_every_window

pytestmark = pytest.mark.outside("ray")

REPOSITORY = Path(__file__).parents[2]
ROWS = 400
KILLS = int(os.environ.get("NOMYO_SOAK_KILLS", "4"))
"""Each time at a random moment; 30 in `make soak`."""

CLUSTER = REPOSITORY / "tests" / "cluster"


def run_python(*arguments: str, expected: int = 0) -> str:
    """Run the Python of `.venv-ray`, which finds the package of this folder; return what it printed."""
    python = REPOSITORY / ".venv-ray" / "bin" / "python"
    assert python.exists(), ".venv-ray is missing: run `make ray`"
    path = [REPOSITORY / "python", REPOSITORY / "tests"]
    # Nothing leaves this machine, nor its loopback (by a switch that is named for where it is needed).
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "PYTHONWARNINGS": "ignore"}
    # There Ray also notes which cluster runs: a program without an address would join that of another run of the tests.
    with tempfile.TemporaryDirectory(prefix="ray") as directory:
        (Path(directory) / "ray").mkdir()  # which Ray's Cluster takes for given
        finished = subprocess.run(
            [python, *arguments],
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **quiet, "RAY_TMPDIR": directory},
        )
    assert finished.returncode == expected, finished.stdout + finished.stderr
    return finished.stdout


def _report(printed: str) -> Any:
    """Return what a program says at its end; Ray prints words of its own before and after."""
    (report,) = [line for line in printed.splitlines() if line.startswith("report: ")]
    return json.loads(report.removeprefix("report: "))


@contextmanager
def _noted_to(file: Path, router: PromptNotingRouter) -> Iterator[None]:
    """Keep a file as long as the number of requests that a router was sent."""
    over = threading.Event()

    def note() -> None:
        while not over.wait(0.02):
            file.write_bytes(b"." * len(router.prompts))

    file.touch()
    thread = threading.Thread(target=note)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("kind", ["run", "pipeline"])
def test_no_row_is_lost_or_doubled_where_a_node_dies(kind: str, tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", [request(number) for number in range(1, ROWS + 1)])
    output, seen = tmp_path / "out", tmp_path / "seen"
    with PromptNotingRouter(delay_s=0.1) as router, _noted_to(seen, router):
        printed = run_python(f"{CLUSTER}/killed_node.py", kind, router.url, str(source), str(output), str(seen))
        prompts = router.prompts

    report = _report(printed)
    assert report["alive"] == 1
    assert any("MapWorker" in name for name in report["killed"]), report
    rows = [row for file in sorted(output.glob("*.json*")) if file.name != "batch.json" for row in rows_of(file)]
    assert sorted(row["custom_id"] for row in rows) == sorted(f"row-{number}" for number in range(1, ROWS + 1))
    assert all(row["error"] is None for row in rows)
    assert set(prompts) == {f"prompt {number} é" for number in range(1, ROWS + 1)}
    if kind == "run":
        assert [line_of(row) for row in rows] == list(range(1, ROWS + 1))
        assert 0 < len(prompts) - ROWS <= 2 * 8  # what was under way in the actor that died, and no more


def test_no_row_of_a_table_is_lost_or_doubled_where_a_node_dies(tmp_path: Path) -> None:
    source, output, seen = tmp_path / "in.parquet", tmp_path / "out", tmp_path / "seen"
    questions = [f"prompt {number} é" for number in range(ROWS)]
    pq.write_table(pa.table({"id": range(ROWS), "question": questions}), source)
    with PromptNotingRouter(delay_s=0.1) as router, _noted_to(seen, router):
        printed = run_python(f"{CLUSTER}/killed_node.py", "tables", router.url, str(source), str(output), str(seen))
        prompts = router.prompts

    assert any("MapWorker" in name for name in _report(printed)["killed"])
    rows = pq.read_table(output)
    assert rows["id"].to_pylist() == list(range(ROWS))
    assert rows["response"].to_pylist() == questions
    assert (output / "_SUCCESS").exists()
    assert set(prompts) == set(questions)
    assert 0 < len(prompts) - ROWS <= 2 * 8  # what was under way in the actor that died, and no more


def test_rate_holds_over_the_cluster_while_the_node_that_keeps_it_dies(tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", [request(number) for number in range(1, 101)])
    moments, limits = tmp_path / "moments", {"requests_per_s": 20}
    with PromptNotingRouter() as router:
        printed = run_python(
            f"{CLUSTER}/rate_over_cluster.py",
            *(router.url, str(source), str(tmp_path / "out"), json.dumps(limits), str(moments)),
        )
        assert len(set(router.prompts)) == 100

    killed = _report(printed)
    assert any("MapWorker" in name for name in killed), killed
    assert any("NotingGovernor" in name for name in killed), killed
    went = [int(line) for line in moments.read_text().splitlines()]
    assert len(went) >= 100
    check_every_window(went, Limits(**limits))


@pytest.mark.parametrize("kind", ["run", "tables", "pipeline"])
def test_api_key_is_with_the_actors_alone_and_so_is_content_except_in_a_pipeline(kind: str, tmp_path: Path) -> None:
    key, prompt = tmp_path / "key", tmp_path / "prompt"
    key.write_text("canary-api-key-93ae")
    prompt.write_text("canary-prompt-7f0c")
    # Blocks of less than 100 KB stay with whoever owns them, instead of in the object store.
    content = f"{prompt.read_text()} " * 1000
    body = {"model": "m", "messages": [{"role": "user", "content": content}]}
    source = write_input(tmp_path / "in.jsonl", [request(number, body=body) for number in range(200)])
    if kind == "tables":
        source = tmp_path / "in.parquet"
        pq.write_table(pa.table({"question": [content] * 200}), source)
    output, seen = tmp_path / "out", tmp_path / "seen"
    with PromptNotingRouter(delay_s=0.1) as router, _noted_to(seen, router):
        printed = run_python(
            f"{CLUSTER}/canary.py",
            *(kind, router.url, str(source), str(output), str(key), str(prompt), str(seen)),
        )

    found = _report(printed)
    assert found.pop("key in actors") > 0
    assert found.pop("prompt in actors") > 0
    if kind == "pipeline":  # Ray's object store, as SECURITY.md says; and the search finds what is there
        assert found.pop("prompt in object store") > 0
        found.pop("prompt in raylet", None)  # which has the store among its own memory
    assert found == {}


@pytest.mark.parametrize(
    ("seal", "cluster"), [(None, False), ("answers", False), ("all", False), (None, True), ("all", True)]
)
def test_job_on_a_table_whose_driver_is_killed_ends_like_an_undisturbed_one(
    seal: str | None, cluster: bool, tmp_path: Path, archive: Path
) -> None:
    """The driver dies at random moments: while the input is read, rows are sent, and parts are written."""
    questions = [f"prompt {number} é" for number in range(ROWS)]
    pq.write_table(pa.table({"id": range(ROWS), "question": questions}), tmp_path / "in.parquet", row_group_size=64)
    given = {
        "source": str(tmp_path / "in.parquet"),
        "output": str(tmp_path / "out"),
        "undisturbed": str(tmp_path / "undisturbed"),
        "public_key": str(archive / "public_key.pem"),
        "seal": seal,
        "cluster": cluster,
        "kills": KILLS,
        "concurrency": 4,
        "rows_per_part": 40,
    }
    with PromptNotingRouter(delay_s=0.1) as router:
        printed = run_python(f"{CLUSTER}/killed_driver.py", json.dumps({**given, "url": router.url}))
        sent = Counter(router.prompts)

    done = _report(printed)
    assert done == sorted(done), "an outcome was lost"
    assert set(sent) == set(questions)
    assert sent.total() - 2 * ROWS <= KILLS * 2 * 2 * 4  # of two whole jobs: what was under way, or not on the disk
    names = ["_SUCCESS", "_journal", *(f"part-{number:012}.parquet" for number in range(1, ROWS + 1, 40))]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    rows = _table_of(tmp_path / "out", tmp_path / "opened", archive, seal)
    assert rows["id"].to_pylist() == list(range(ROWS))
    assert rows["response"].to_pylist() == rows["question"].to_pylist() == questions
    assert rows == _table_of(tmp_path / "undisturbed", tmp_path / "opened too", archive, seal)


def _table_of(folder: Path, opened: Path, archive: Path, seal: str | None) -> pa.Table:
    if seal is None:
        return pq.read_table(folder)
    opened.mkdir()
    for part in sorted(folder.glob("*.parquet")):
        assert open_command(part, "-o", opened / part.name, "--key-dir", archive).returncode == 0
    return pq.read_table(opened)


@pytest.mark.parametrize(
    "checks",
    [
        *("check_rows.py", "check_parts.py", "check_cluster.py"),
        *("check_tables.py", "check_budget.py", "check_pipeline.py"),
    ],
)
def test_all_of_it_holds_with_ray(checks: str) -> None:
    printed = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", f"{CLUSTER}/{checks}")
    assert " passed in " in printed
    assert "skipped" not in printed


def test_example_runs(tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", [request(1), request(2), b"{"])
    example, archive = str(REPOSITORY / "examples" / "ray_batch.py"), tmp_path / "archive"
    with PromptNotingRouter() as router:
        options = ["--base-url", router.url, "--allow-http", "--actors", "1", "--rate", "50"]
        printed = run_python(example, str(source), str(tmp_path / "out"), *options, expected=3)
        write_key_directory(archive, PrivateKey.generate(2048))
        sealed = ["--encrypt-to", str(archive / "public_key.pem"), "--retry-errors"]
        run_python(example, str(source), str(tmp_path / "sealed"), *options, *sealed, expected=3)

    assert "3 rows: 2 answered, 1 failed" in printed.splitlines()
    assert [row["custom_id"] for row in rows_of(tmp_path / "out" / "part-000000000001.jsonl")] == [
        "row-1",
        "row-2",
        None,
    ]
    assert all("sealed" in row for row in rows_of(tmp_path / "sealed" / "part-000000000001.jsonl"))
    assert "--api-key-file" in run_python(example, "--help")


def test_extra_that_is_missing_is_named_and_a_batch_needs_none() -> None:
    program = """
import sys
import nomyo.batch
assert "ray" not in sys.modules
sys.modules["ray"] = None
try:
    import nomyo.batch.ray
except ModuleNotFoundError as error:
    print(error)
"""
    assert output_of(program) == f"nomyo.batch.ray needs the extra 'ray': {install_command('ray')}\n"
