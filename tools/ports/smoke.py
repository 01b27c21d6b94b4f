"""Tries the Python package on another platform against a router that runs on this machine. A program of its own.

Arguments: the router's URL, and an empty folder. It prints what it tried and, at the end, counts as `cargo test` does.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path

import nomyo
import nomyo.batch
from nomyo.memory import get_memory_protection_info

URL, FOLDER = sys.argv[1], Path(sys.argv[2])
QUESTION = "Grüß Gott, 世界"
MESSAGES = [{"role": "user", "content": QUESTION}]
MODEL = "echo"
KEYS = FOLDER / "keys"
"""The pair of most tests: an emulator takes up to minutes to make one."""
MANY = 40
# Ends while another thread generates keys, and says when.
ENDS_DURING_KEY_GENERATION = """
import threading, time, nomyo._core as core
def generate():
    while True:
        begun.set()
        core.PrivateKey.generate(4096)
begun = threading.Event()
threading.Thread(target=generate, daemon=True).start()
begun.wait()
time.sleep(0.1)
print(time.time(), flush=True)
"""
PATIENCE_S = 2  # of the core's exit, for the work of other threads (rust/core/src/exit.rs)


def answer_is_opened_by_the_sync_client() -> None:
    with nomyo.SyncSecureChatCompletion(URL, allow_http=True) as client:
        answer = client.create(model=MODEL, messages=MESSAGES)
    assert QUESTION in str(answer.choices[0].message.content)


def answer_is_opened_by_the_async_client() -> None:
    async def ask() -> nomyo.ChatCompletionResponse:
        async with nomyo.SecureChatCompletion(URL, allow_http=True) as client:
            return await client.create(model=MODEL, messages=MESSAGES)

    assert QUESTION in str(asyncio.run(ask()).choices[0].message.content)


def memory_is_locked_and_reported() -> None:
    info = get_memory_protection_info()
    print("   ", info.method, "|", info.details)
    status = nomyo._core.memory_status()
    assert info.method == "mlock"
    assert status["locked_bytes"] > 0
    if sys.platform == "linux":  # under an emulator, too
        assert _kernels_figure_bytes() >= status["locked_bytes"]


def buffer_keeps_and_wipes_a_secret() -> None:
    with nomyo.SecureBuffer(b"secret") as buffer:
        with buffer.data as view:
            assert bytes(view) == b"secret"


def key_directory_is_made_once_and_found_again() -> None:
    for _ in range(2):
        with nomyo.SyncSecureChatCompletion(URL, allow_http=True, key_dir=KEYS) as client:
            client.create(model=MODEL, messages=MESSAGES)
    assert b"PRIVATE KEY" in (KEYS / "private_key.pem").read_bytes()


def many_are_answered_by_both_clients() -> None:
    requests = [{"model": MODEL, "messages": MESSAGES}] * MANY

    async def ask() -> list[nomyo.Result]:
        async with nomyo.SecureChatCompletion(URL, allow_http=True, key_dir=KEYS) as client:
            return [each async for each in client.create_many(requests, concurrency=MANY)]

    with nomyo.SyncSecureChatCompletion(URL, allow_http=True, key_dir=KEYS) as client:
        results = [*asyncio.run(ask()), *client.create_many(requests, concurrency=MANY)]
    assert [each.error for each in results] == [None] * 2 * MANY


def router_is_remembered() -> None:
    known = FOLDER / "known_routers"
    for _ in range(2):
        with nomyo.SyncSecureChatCompletion(URL, allow_http=True, key_dir=KEYS, known_routers=known) as client:
            client.create(model=MODEL, messages=MESSAGES)
    assert json.loads(known.read_text())["version"] == 1
    assert len((FOLDER / "known_routers.log").read_bytes().splitlines()) == 1


def audit_log_grows_by_a_line_for_each_request() -> None:
    log = FOLDER / "audit"
    for _ in range(2):
        with nomyo.SyncSecureChatCompletion(URL, allow_http=True, key_dir=KEYS, audit_log=log) as client:
            client.create(model=MODEL, messages=MESSAGES)
    content = log.read_bytes()
    assert len(content.splitlines()) == 2
    assert b"\r" not in content


def batch_is_run_and_goes_on() -> None:
    rows, answers = FOLDER / "rows.jsonl", FOLDER / "answers.jsonl"
    body = {"model": MODEL, "messages": MESSAGES}
    row = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    rows.write_bytes(b"".join(json.dumps({"custom_id": str(n), **row}).encode() + b"\n" for n in range(5)))
    for _ in range(2):
        summary = nomyo.batch.run(rows, answers, base_url=URL, allow_http=True, key_dir=KEYS)
        assert summary.failed == 0
    content = answers.read_bytes()
    assert len(content.splitlines()) == 5
    assert b"\r" not in content


def table_gets_its_answers_beside_its_rows() -> None:
    import pyarrow.parquet

    rows, answers = FOLDER / "rows.csv", FOLDER / "answers.parquet"
    rows.write_bytes(b"question,number\n" + b"".join(f'"{QUESTION}",{n}\n'.encode() for n in range(5)))
    options = nomyo.batch.DataOptions(prompt_column="question", model=MODEL)
    for _ in range(2):
        summary = nomyo.batch.run(rows, answers, base_url=URL, allow_http=True, key_dir=KEYS, data=options)
        assert summary.failed == 0
    table = pyarrow.parquet.read_table(answers)
    assert table["number"].to_pylist() == [str(n) for n in range(5)]
    assert all(QUESTION in answer for answer in table["response"].to_pylist())


def doctor_tells_what_this_machine_protects() -> None:
    told = subprocess.run([sys.executable, "-m", "nomyo", "doctor", "--json"], stdout=subprocess.PIPE, check=True)
    assert json.loads(told.stdout)


def end_does_not_wait_for_a_key_that_is_generated() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDS_DURING_KEY_GENERATION], stdout=subprocess.PIPE, check=True)
    waited_s = time.time() - float(ended.stdout)
    print("   ", f"ended in {waited_s:.2f} s")
    assert waited_s < PATIENCE_S


def _kernels_figure_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmLck:"))


TESTS = [
    answer_is_opened_by_the_sync_client,
    answer_is_opened_by_the_async_client,
    memory_is_locked_and_reported,
    buffer_keeps_and_wipes_a_secret,
    key_directory_is_made_once_and_found_again,
    many_are_answered_by_both_clients,
    router_is_remembered,
    audit_log_grows_by_a_line_for_each_request,
    batch_is_run_and_goes_on,
    table_gets_its_answers_beside_its_rows,
    doctor_tells_what_this_machine_protects,
    end_does_not_wait_for_a_key_that_is_generated,
]


def main() -> bool:
    """Run all of them, and count; return whether any failed."""
    warnings.simplefilter("error")
    for expected in (
        "the router is spoken to over plain HTTP",
        "rates are kept in this process alone",
    ):  # the latter: Windows
        warnings.filterwarnings("ignore", message=expected)
    passed = 0
    for test in TESTS:
        try:
            test()
        except Exception:
            traceback.print_exc()
            print("test", test.__name__, "... FAILED", flush=True)
        else:
            passed += 1
            print("test", test.__name__, "... ok", flush=True)
    failed = len(TESTS) - passed
    print(
        f"test result: {'FAILED' if failed else 'ok'}. {passed} passed; {failed} failed on {sys.platform} ({os.name})"
    )
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
