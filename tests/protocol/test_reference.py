"""The public Python client, nomyo 0.2.9 in a venv of its own, against our router and our packages."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nomyo import _core
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter

pytestmark = pytest.mark.outside("the venv of `make reference`")

REPOSITORY = Path(__file__).parents[2]
REFERENCE = REPOSITORY / ".venv-reference" / "bin" / "python"
TEXTS = ["Hello", "", "Zo\u00eb \u4f60\u597d \U0001f600", 'quotes " and \\ and \n and \u2028', "x" * 100_000]


def reference(program: str, *arguments: str) -> str:
    """Run a program with the public client; what it prints."""
    assert REFERENCE.exists(), "the public client is missing: run `make reference`"
    preamble = (
        "import asyncio, json, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "import nomyo\n"
        "assert nomyo.__version__ == '0.2.9'\n"
    )
    finished = subprocess.run(
        [REFERENCE, "-c", preamble + program, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize("key_bits", [2048, 3072, 4096])
def test_public_client_talks_to_our_router(key_bits: int) -> None:
    program = """
async def main():
    client = nomyo.SecureChatCompletion(base_url=sys.argv[1], allow_http=True, api_key="the-key")
    texts = json.loads(sys.argv[2])
    answers = await asyncio.gather(*(
        client.create(model="m", messages=[{"role": "user", "content": text}], security_tier="high") for text in texts
    ))
    print(json.dumps([[a["choices"][0]["message"]["content"], a["_metadata"]] for a in answers]))
    wrong = nomyo.SecureChatCompletion(base_url=sys.argv[1], allow_http=True, api_key="wrong")
    try:
        await wrong.create(model="m", messages=[])
    except nomyo.AuthenticationError as error:
        print(error.status_code)
asyncio.run(main())
"""
    config = RouterConfig(key_bits=key_bits, api_keys=frozenset({"the-key"}))
    with RunningRouter(config) as router:
        answers, status = reference(program, router.url, json.dumps(TEXTS[:4])).splitlines()

    assert status == "401"
    for text, (content, metadata) in zip(TEXTS, json.loads(answers), strict=False):
        assert content == text
        assert metadata["is_encrypted"] is True
        assert metadata["security_tier"] == "high"
        assert isinstance(metadata["processed_at"], int)


@pytest.mark.parametrize("padded", [False, True])
def test_public_client_opens_what_we_seal(
    client_key: _core.PrivateKey, key_directory: Path, tmp_path: Path, padded: bool
) -> None:
    payloads: list[dict[str, Any]] = [
        {"text": text, "numbers": [0, -1, 2**80, 0.1, 1e300], "nothing": None} for text in TEXTS
    ]
    for number, payload in enumerate(payloads):
        package = _core.seal(payload, client_key.public_key, processed_at=1_700_000_000, padded=padded)
        (tmp_path / f"{number}.package").write_bytes(package)
    program = """
from nomyo.SecureCompletionClient import SecureCompletionClient
from pathlib import Path
client = SecureCompletionClient()
client.load_keys(sys.argv[1])
paths = sorted(Path(sys.argv[2]).iterdir())
opened = [asyncio.run(client.decrypt_response(path.read_bytes(), "an-id")) for path in paths]
print(json.dumps(opened))
"""
    opened = json.loads(reference(program, str(key_directory / "private_key.pem"), str(tmp_path)))

    for payload, response in zip(payloads, opened, strict=True):
        assert response.pop("_metadata")["processed_at"] == 1_700_000_000
        assert response == payload


def test_we_open_what_the_public_client_seals() -> None:
    program = """
from nomyo.SecureCompletionClient import SecureCompletionClient
client = SecureCompletionClient(sys.argv[1], allow_http=True)
for text in json.loads(sys.argv[2]):
    print(asyncio.run(client.encrypt_payload({"text": text, "n": 1.5})).decode())
"""
    with RunningRouter(RouterConfig(key_bits=2048)) as router:
        packages = reference(program, router.url, json.dumps(TEXTS)).splitlines()
        for text, package in zip(TEXTS, packages, strict=True):
            content, algorithm, processed_at = _core.open_package(package.encode(), router.router.keys.current)
            assert content == {"text": text, "n": 1.5}
            assert (algorithm, processed_at) == ("hybrid-aes256-rsa4096", None)


@pytest.mark.parametrize("password", [None, "a password"])
def test_key_files_are_read_by_both(tmp_path: Path, client_key: _core.PrivateKey, password: str | None) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    _core.write_key_directory(ours, client_key, password)
    program = """
from nomyo.SecureCompletionClient import SecureCompletionClient
password = json.loads(sys.argv[3])
client = SecureCompletionClient()
client.load_keys(sys.argv[1] + "/private_key.pem", password=password)
print(json.dumps(client.public_key_pem))
client.key_size = 2048
client.generate_keys(save_to_file=True, key_dir=sys.argv[2], password=password)
"""
    printed = reference(program, str(ours), str(theirs), json.dumps(password))

    assert json.loads(printed) == client_key.public_key.pem
    key, condition = _core.load_key_pair(theirs / "private_key.pem", theirs / "public_key.pem", password)
    assert key.bits == 2048
    assert condition.too_open == []
    _, created, *_ = _core.open_key_directory(theirs, 2048, password)
    assert not created
