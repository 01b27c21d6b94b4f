"""aiohttp is imported by those who send requests from an event loop, when they do; a failure has words.

httpx is imported by those who bring a client of it.
"""

from __future__ import annotations

from pathlib import Path

from nomyo.serve.router.running import RunningRouter
from support.process import output_of, unmeasured

BEGIN = """
import asyncio, sys, warnings
import nomyo
warnings.simplefilter("ignore", UserWarning)
HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
url, key_dir = sys.argv[1:]
"""


def test_only_a_request_from_an_event_loop_imports_aiohttp(router: RunningRouter, key_directory: Path) -> None:
    program = """
def is_imported():
    print("aiohttp" in sys.modules)
    assert not {"httpx", "rich", "pydantic"} & set(sys.modules)

with nomyo.SyncSecureChatCompletion(url, True, key_dir=key_dir) as chat:
    chat.create(**HELLO)
is_imported()
chat = nomyo.SecureChatCompletion(url, True, key_dir=key_dir)
is_imported()
asyncio.run(chat.create(**HELLO))
is_imported()
chat.dispose()
"""
    assert output_of(BEGIN + program, router.url, str(key_directory)) == "False\nFalse\nTrue\n"


def test_client_imports_nothing_that_its_first_request_does_not_need(key_directory: Path, unused_port: int) -> None:
    """How long a start takes depends on the machine; what it imports does not."""
    program = """
before = set(sys.modules)

async def main():
    async with nomyo.SecureChatCompletion(url, key_dir=key_dir, max_retries=0) as chat:
        try:
            await chat.create(**HELLO)
        except nomyo.APIConnectionError:
            pass

asyncio.run(main())
ours = {name for name in set(sys.modules) - before if name.startswith("nomyo.")}
trust = {name for name in ours if name.startswith("nomyo.trust.")}
unneeded = {"h11", "httpcore", "httpx", "tomllib"} & set(sys.modules) - before
print(len(ours), sorted(trust), sorted(unneeded))
"""
    url = f"https://127.0.0.1:{unused_port}"
    said = output_of(BEGIN + program, url, str(key_directory), env=unmeasured())
    count, _, rest = said.partition(" ")
    assert rest == "['nomyo.trust.of_client'] []\n"
    assert int(count) < 80  # 75


def test_failed_import_is_a_configuration_error_and_the_next_request_tries_again(
    router: RunningRouter, key_directory: Path
) -> None:
    program = """
FAILURES = [
    MemoryError(),
    ImportError("/site/_http_parser.so: failed to map segment from shared object"),
    ImportError("No module named 'yarl'"),
]

class Failing:
    def find_spec(name, path=None, target=None):
        if name == "aiohttp.connector" and FAILURES:
            raise FAILURES.pop(0)

async def main():
    async with nomyo.SecureChatCompletion(url, True, key_dir=key_dir) as chat:
        for _ in range(3):
            try:
                await chat.create(**HELLO)
            except nomyo.ConfigurationError as error:
                print(error)
                assert error.__context__ is None
        print((await chat.create(**HELLO)).choices[0].message.content)

sys.meta_path.insert(0, Failing)
asyncio.run(main())
"""
    no_memory = (
        "there is not enough memory to import aiohttp: raise the limits RLIMIT_AS (`ulimit -v`) and RLIMIT_DATA "
        "(`ulimit -d`)"
    )
    broken = (
        "aiohttp cannot be imported: No module named 'yarl'; install nomyo and what it needs again "
        "(pip install --force-reinstall)"
    )
    said = output_of(BEGIN + program, router.url, str(key_directory))
    assert said.splitlines() == [no_memory, no_memory, broken, "Hello"]


def test_failed_import_takes_no_api_key_into_an_error_of_the_callers_client(
    unused_port: int, key_directory: Path
) -> None:
    program = """
import httpx
sys.modules["aiohttp"] = None  # whoever imports it now gets a ModuleNotFoundError

async def main():
    options = {"api_key": "secret-token", "key_dir": key_dir, "max_retries": 0}
    async with httpx.AsyncClient() as own:
        async with nomyo.SecureChatCompletion(url, True, http_client=own, **options) as chat:
            try:
                await chat.create(**HELLO)
            except Exception as error:
                print(repr(error), error.__cause__, error.__context__, sep="; ")

asyncio.run(main())
"""
    said = output_of(BEGIN + program, f"http://127.0.0.1:{unused_port}", str(key_directory))
    assert said.startswith("APIConnectionError(")
    assert said.endswith("; None; None\n")


def test_signal_handlers_own_error_within_the_import_stays_what_it_is(
    router: RunningRouter, key_directory: Path
) -> None:
    program = """
class Interrupting:
    def find_spec(name, path=None, target=None):
        if name == "aiohttp.connector":
            raise TimeoutError("my own limit")

async def main():
    async with nomyo.SecureChatCompletion(url, True, key_dir=key_dir) as chat:
        try:
            await chat.create(**HELLO)
        except Exception as error:
            print(repr(error))

sys.meta_path.insert(0, Interrupting)
asyncio.run(main())
"""
    assert output_of(BEGIN + program, router.url, str(key_directory)) == "TimeoutError('my own limit')\n"
