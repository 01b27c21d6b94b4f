"""A batch whose rows are sealed for one key: what is on the disk, how it goes on, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import nomyo.batch
from nomyo import BatchError, _core
from nomyo.serve.router.running import RunningRouter
from support.batch_scene import (
    PromptNotingRouter,
    Runner,
    batch,
    command,
    expected,
    line_of,
    lines_of,
    open_command,
    opened,
    opened_by_hand,
    outcome,
    outcomes,
    request,
    rows_of,
    runner,
    write_input,
)
from support.canary import files_with
from support.faults import Answer
from support.process import run_python, under_memlock_limit
from support.waiting import until

ROWS = 40
KILLS = 3
CANARY = "canary-prompt-91e7"
PASSWORD = "a password of sufficient length"
EXPECTED = expected(ROWS)


@pytest.fixture
def public(archive: Path) -> Path:
    return archive / "public_key.pem"


@pytest.fixture
def run(router: RunningRouter, key_directory: Path, public: Path, source: Path, output: Path) -> Runner:
    return runner(source, output, router.url, key_directory, encrypt_to=public)


def test_sealed_rows_that_a_tool_of_json_wrote_anew_are_opened_and_done(run: Any, output: Path, archive: Path) -> None:
    run()
    expected = sorted(opened(output, archive), key=str)
    output.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows_of(output)))
    assert sorted(nomyo.batch.read(output, key_dir=archive), key=str) == expected
    assert run().done_before == ROWS
    assert sorted(opened(output, archive), key=str) == expected


def without_request_ids(rows: bytes) -> list[bytes]:
    return sorted(
        re.sub(rb'"(request_id|id|payload_id)":"[0-9a-z-]{30,}"|"(created|processed_at)":\d+', b"", rows).splitlines()
    )


def test_another_implementation_opens_a_row_and_finds_what_an_unsealed_batch_writes(
    run: Any, output: Path, archive_key: _core.PrivateKey, tmp_path: Path
) -> None:
    run()
    inside = [opened_by_hand(row, archive_key) for row in lines_of(output)]
    assert all(set(row) == {"id", "sealed", "error"} for row in rows_of(output))
    (tmp_path / "inside").write_bytes(b"".join(inside))
    assert outcomes(tmp_path / "inside") == EXPECTED
    output.rename(tmp_path / "sealed.jsonl")
    run(encrypt_to=None)
    assert without_request_ids(b"".join(inside)) == without_request_ids(output.read_bytes())


def test_nothing_but_the_line_the_failure_and_the_length_is_seen_from_outside(
    run: Any, source: Path, output: Path
) -> None:
    refused = request(1, custom_id=CANARY)
    refused["body"]["n"] = 100_000
    good = request(2, custom_id=CANARY)
    good["body"]["messages"][0]["content"] = CANARY
    write_input(source, [refused, good, b'{"custom_id": "' + CANARY.encode(), b"{"])
    assert run().failed == 3
    rows = sorted(rows_of(output), key=line_of)
    assert [(row["id"], row["error"]) for row in rows] == [
        ("batch_req_1", {"code": "sealed"}),
        ("batch_req_2", None),
        ("batch_req_3", {"code": "sealed"}),
        ("batch_req_4", {"code": "sealed"}),
    ]
    header = output.with_name("out.jsonl.batch")
    for path in (output, header):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for word in (CANARY, "invalid_json", "invalid_request", "row-", "status_code", "choices"):
            assert word.encode() not in path.read_bytes()


def test_each_row_has_a_key_and_nonce_of_its_own(run: Any, output: Path) -> None:
    run()
    packages = [row["sealed"] for row in rows_of(output)]
    assert len({package["encrypted_aes_key"] for package in packages}) == ROWS
    assert len({package["encrypted_payload"]["nonce"] for package in packages}) == ROWS


def test_killed_batch_goes_on_without_the_private_key_and_leaves_content_nowhere(
    source: Path, output: Path, public: Path, archive: Path, key_directory: Path, tmp_path: Path
) -> None:
    """The retried rows have the output written anew; the control is found in the input, and in what is opened."""
    chance = random.Random(11)
    rows = [request(number, custom_id=f"{CANARY} {number}") for number in range(200)]
    for row in rows:
        row["body"]["messages"][0]["content"] = f"{CANARY} {row['custom_id']}"
    write_input(source, [b"{", *rows, b"{"])
    private = Path(shutil.move(archive / "private_key.pem", tmp_path.parent / f"{tmp_path.name}-private.pem"))
    options = ["--key-dir", str(key_directory), "--encrypt-to", str(public), "--retry-errors", "--ordered"]
    options += ["--concurrency", "8"]
    environment = os.environ | {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    try:
        with PromptNotingRouter() as noting:
            words = command(source, output, noting.url, *options)
            for _ in range(KILLS):
                with subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
                    grow(output, chance.randrange(1, 100_000), process)
                    process.kill()
                    assert process.stderr
                    assert CANARY.encode() not in process.stderr.read()
                assert files_with(CANARY, tmp_path) == [source]
            done = batch(source, output, noting.url, *options)
        assert done.returncode == 3, done.stderr
        assert files_with(CANARY, tmp_path) == [source]
        assert len(noting.prompts) <= 200 + KILLS * 2 * 8
    finally:
        shutil.move(private, archive / "private_key.pem")
    read = opened(output, archive)
    assert [line_of(row) for row in read] == list(range(1, 203))
    found = [(line_of(row), outcome(row)[0]) for row in read]
    assert found == [(1, None), *((n + 2, row["custom_id"]) for n, row in enumerate(rows)), (202, None)]
    open_command(output, "-o", tmp_path / "plain.jsonl", "--key-dir", archive)
    assert files_with(CANARY, tmp_path) == [source, tmp_path / "plain.jsonl"]


def grow(output: Path, by_bytes: int, process: subprocess.Popen[bytes]) -> None:
    enough = size_bytes(output) + by_bytes
    until(lambda: size_bytes(output) >= enough or process.poll() is not None)


def size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("ordered", [False, True])
def test_errors_are_retried_without_the_private_key(
    ordered: bool, run: Any, faulty_router: Any, output: Path, archive: Path
) -> None:
    faulty_router.answers.extend([Answer(403)] * 3)
    assert run(base_url=faulty_router.url, ordered=ordered, concurrency=4).failed == 3
    assert run(ordered=ordered).failed == 3
    retried = run(ordered=ordered, retry_errors=True)
    assert (retried.done_before, retried.succeeded, retried.failed) == (ROWS - 3, ROWS, 0)
    read = list(map(outcome, opened(output, archive)))
    assert (read if ordered else sorted(read)) == (EXPECTED if ordered else sorted(EXPECTED))


def test_torn_row_alone_is_sent_again(run: Any, output: Path, archive: Path) -> None:
    run(ordered=True)
    output.write_bytes(output.read_bytes()[:-300])
    with PromptNotingRouter() as noting:
        assert run(ordered=True, base_url=noting.url).done_before == ROWS - 1
    assert len(noting.prompts) == 1
    assert list(map(outcome, opened(output, archive))) == EXPECTED


def test_done_batch_sends_nothing(run: Any, output: Path) -> None:
    run()
    before = output.read_bytes()
    with PromptNotingRouter() as noting:
        assert run(base_url=noting.url).done_before == ROWS
        assert (noting.prompts, output.read_bytes()) == ([], before)


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout


def certificate(archive: Path) -> bytes:
    return openssl("req", "-x509", "-key", str(archive / "private_key.pem"), "-subj", "/CN=a", "-days", "1")


# What somebody may give for a public key, and what is said of it.
NO_PUBLIC_KEYS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "the private key": (lambda d: (d / "private_key.pem").read_bytes(), "a private key, which is not for here"),
    "both keys": (
        lambda d: (d / "public_key.pem").read_bytes() + (d / "private_key.pem").read_bytes(),
        "a private key, which is not for here",
    ),
    "a private key as PKCS#1": (
        lambda d: openssl("rsa", "-in", str(d / "private_key.pem"), "-traditional"),
        "a private key, which is not for here",
    ),
    "an encrypted private key": (
        lambda d: openssl("pkey", "-in", str(d / "private_key.pem"), "-aes256", "-passout", "pass:password"),
        "a private key, which is not for here",
    ),
    "a certificate": (certificate, "a certificate"),
    "a public key as PKCS#1": (
        lambda d: openssl("rsa", "-in", str(d / "private_key.pem"), "-RSAPublicKey_out"),
        "a public key as PKCS#1",
    ),
    "a key of 1024 bits": (lambda d: small_key(), "2048 to 8192 bits"),
    "an elliptic curve's key": (lambda d: curve_key(), "RSA public key"),
    "two public keys": (lambda d: 2 * (d / "public_key.pem").read_bytes(), "one PEM block"),
    "DER": (lambda d: openssl("pkey", "-in", str(d / "private_key.pem"), "-outform", "DER"), "no PEM block"),
    "nothing": (lambda d: b"", "no PEM block"),
    "something long": (lambda d: b"x" * 100_000, "too long"),
}


def small_key() -> bytes:
    return _spki(rsa.generate_private_key(65537, 1024))


def curve_key() -> bytes:
    return _spki(ec.generate_private_key(ec.SECP256R1()))


def _spki(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem


# These are made by the openssl command.
OF_OPENSSL = ("a private key as PKCS#1", "an encrypted private key", "a certificate", "a public key as PKCS#1", "DER")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.outside("openssl")] if kind in OF_OPENSSL else [])
        for kind in NO_PUBLIC_KEYS
    ],
)
def test_what_is_no_public_key_is_refused_before_anything_is_sent_or_written(
    kind: str, run: Any, output: Path, archive: Path, tmp_path: Path
) -> None:
    make, words = NO_PUBLIC_KEYS[kind]
    (tmp_path / "key.pem").write_bytes(make(archive))
    with PromptNotingRouter() as noting, pytest.raises(ValueError, match=re.escape(words)) as caught:
        run(encrypt_to=tmp_path / "key.pem", base_url=noting.url)
    assert str(caught.value).startswith("encrypt_to must be an RSA public key in PEM: ")
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert noting.prompts == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "key.pem"]


def test_command_names_the_option_that_is_wrong(
    router: RunningRouter, source: Path, output: Path, archive: Path
) -> None:
    done = batch(source, output, router.url, "--encrypt-to", str(archive / "private_key.pem"))
    said = " ".join(done.stderr.replace("│", "").split())
    assert (done.returncode, "--encrypt-to must be an RSA public key" in said) == (2, True), done.stderr
    done = batch(source, output, router.url, "--encrypt-to", "nothing.pem")
    assert (done.returncode, "nothing.pem: No such file" in done.stderr) == (1, True)
    assert not output.exists()


def test_key_of_the_client_itself_is_refused_since_it_is_rotated(
    run: Any, output: Path, key_directory: Path, tmp_path: Path
) -> None:
    copied = shutil.copy(key_directory / "public_key.pem", tmp_path / "copy.pem")
    for options in ({}, {"key_dir": None, "key_rotation_dir": key_directory}):
        with pytest.raises(ValueError, match="which is rotated"):
            run(encrypt_to=copied, **options)
    assert not output.exists()


def other_key(tmp_path: Path) -> Path:
    _core.write_key_directory(tmp_path / "other", _core.PrivateKey.generate(2048))
    return tmp_path / "other" / "public_key.pem"


@pytest.mark.parametrize("begun_sealed", [True, False])
def test_output_goes_on_as_it_was_begun_or_not_at_all(
    begun_sealed: bool, run: Any, output: Path, public: Path, tmp_path: Path
) -> None:
    begun = public if begun_sealed else None
    run(encrypt_to=begun)
    output.write_bytes(b"".join(lines_of(output)[:5]))
    before = output.read_bytes()
    others = (
        {other_key(tmp_path): "only go on with --encrypt-to and the key", None: "is sealed"}
        if begun_sealed
        else {public: "without --encrypt-to"}
    )
    for other, words in others.items():
        with pytest.raises(BatchError, match=words):
            run(encrypt_to=other)
        assert output.read_bytes() == before
    assert run(encrypt_to=begun).done_before == 5


@pytest.mark.parametrize("sealed_header", [True, False])
def test_mixture_that_somebody_else_made_is_refused(
    sealed_header: bool, run: Any, output: Path, public: Path, tmp_path: Path
) -> None:
    run(encrypt_to=None)
    plain = output.read_bytes()
    output.unlink()
    run()
    mixture = [*lines_of(output)[:3], *plain.splitlines(keepends=True)[10:]]
    if not sealed_header:
        output.unlink()
        run(encrypt_to=None)
    output.write_bytes(b"".join(mixture))
    words = "is not sealed, unlike" if sealed_header else "is sealed, unlike"
    with pytest.raises(BatchError, match=words):
        run(encrypt_to=public if sealed_header else None)
    assert output.read_bytes() == b"".join(mixture)


def test_changed_input_is_refused_without_a_digest_that_is_quickly_guessed(
    run: Any, source: Path, output: Path
) -> None:
    run()
    header = output.with_name("out.jsonl.batch").read_text()
    assert hashlib.sha256(source.read_bytes()).hexdigest() not in header
    begun = json.loads(header)["input"]
    digest = hashlib.sha256(source.read_bytes()).hexdigest().encode()
    slow = hashlib.pbkdf2_hmac("sha256", digest, begun["salt"].encode(), 600_000).hex()
    assert begun == {"size_bytes": source.stat().st_size, "salt": begun["salt"], "pbkdf2_sha256": slow}
    source.write_bytes(source.read_bytes().replace(b"prompt 39", b"prompt 38"))
    with pytest.raises(BatchError, match="the input is not the one"):
        run()


@pytest.mark.parametrize("damage", ['{"size_bytes": 1}', '{"salt": 1}', "[]", "null"])
def test_damaged_header_of_a_sealed_output_is_told(damage: str, run: Any, output: Path) -> None:
    run()
    header = output.with_name("out.jsonl.batch")
    header.write_text(re.sub(r'"input": \{.*?\}', f'"input": {damage}', header.read_text()))
    with pytest.raises(BatchError, match="the input is not the one"):
        run()


def test_locked_memory_is_required_for_sealing_where_it_is_asked_for(public: Path) -> None:
    program = (
        "import sys\nfrom nomyo import SecurityError\nfrom nomyo.batch.seal_key import read_public_key\n"
        "from nomyo.batch.sealed import Seal\nimport warnings\nwarnings.simplefilter('ignore')\n"
        "key = read_public_key(sys.argv[1])\n"
        'row = b\'{"id":"batch_req_1","custom_id":"a","response":{},"error":null}\\n\'\n'
        "Seal(key)(row)\n"
        "try:\n    Seal(key, locked_required=True)(row)\nexcept SecurityError as error:\n    print(error)\n"
    )
    done = run_python(program, str(public), before=under_memlock_limit(0))
    assert "locked memory is required" in done.stdout, done.stderr
