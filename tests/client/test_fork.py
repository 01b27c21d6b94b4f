"""A client of the parent raises one clear error in a forked child; a new one works there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nomyo.serve.listener import Listener
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.process import output_of, unmeasured
from support.tls import Authority

PROGRAM = """
import asyncio, os, sys, warnings
import nomyo
warnings.simplefilter("ignore", UserWarning)
url, key_dir, twin = sys.argv[1:]
HELLO = [{"role": "user", "content": "Hello"}]

def make():
    return getattr(nomyo, twin)(url, True, key_dir=key_dir)

def ask(client):
    outcome = client.create(model="m", messages=HELLO)
    return asyncio.run(outcome) if asyncio.iscoroutine(outcome) else outcome

client = make()
ask(client)
child = os.fork()
if child == 0:
    try:
        ask(client)
    except nomyo.SecurityError as error:
        assert "fork" in str(error), error
        print("refused", flush=True)
    client.dispose()
    mine = make()
    print(ask(mine).choices[0].message.content, flush=True)
    mine.dispose()
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
print("parent", ask(client).choices[0].message.content)
client.dispose()
"""


@pytest.mark.parametrize("twin_class", ["SecureChatCompletion", "SyncSecureChatCompletion"])
def test_client_of_the_parent_is_refused_in_the_child(
    router: RunningRouter, key_directory: Path, twin_class: str
) -> None:
    output = output_of(PROGRAM, router.url, str(key_directory), twin_class)
    assert output.split("\n") == ["refused", "Hello", "parent Hello", ""]


def test_multiprocessing_pool_works_in_its_children(router: RunningRouter, key_directory: Path) -> None:
    program = (
        "import multiprocessing, sys, warnings, nomyo\n"
        "warnings.simplefilter('ignore', UserWarning)\n"
        "def ask(text):\n"
        "    with nomyo.SyncSecureChatCompletion(sys.argv[1], True, key_dir=sys.argv[2]) as chat:\n"
        "        answer = chat.create(model='m', messages=[{'role': 'user', 'content': text}])\n"
        "    return answer.choices[0].message.content\n"
        "print(ask('parent'))\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    print(*pool.map(ask, ['a', 'b', 'c']))\n"
        "    pool.close()\n"
        "    pool.join()\n"
    )
    assert output_of(program, router.url, str(key_directory)) == "parent\na b c\n"


@pytest.mark.parametrize("end", ["client.dispose()", "del client; gc.collect()", "sys.exit(0)", "os._exit(0)"])
def test_parent_goes_on_however_the_child_ends(router: RunningRouter, key_directory: Path, end: str) -> None:
    program = f"""
import asyncio, gc, os, sys, time, warnings
import nomyo
warnings.simplefilter("ignore", UserWarning)
HELLO = [{{"role": "user", "content": "Hello"}}]
client = nomyo.SecureChatCompletion(sys.argv[1], True, key_dir=sys.argv[2], timeout=5.0, max_retries=0)
loop = asyncio.new_event_loop()
loop.run_until_complete(client.create(model="m", messages=HELLO))
child = os.fork()
if child == 0:
    {end}
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
print(loop.run_until_complete(client.create(model="m", messages=HELLO)).choices[0].message.content)
client.dispose()
loop.close()
"""
    assert output_of(program, router.url, str(key_directory)) == "Hello\n"


@pytest.mark.parametrize("twin_class", ["SecureChatCompletion", "SyncSecureChatCompletion"])
def test_first_request_imports_nothing_that_a_fork_could_interrupt(
    tls_authority: Authority, key_directory: Path, twin_class: str
) -> None:
    program = """
import asyncio, sys
import nomyo
if sys.argv[2] == "SecureChatCompletion":
    import nomyo.exchange.http.session  # with aiohttp, for which a fork waits
client = getattr(nomyo, sys.argv[2])(sys.argv[1], key_dir=sys.argv[3])
before = set(sys.modules)
outcome = client.create(model="m", messages=[{"role": "user", "content": "Hello"}])
if asyncio.iscoroutine(outcome):
    asyncio.run(outcome)
client.dispose()
print(sorted(set(sys.modules) - before))
"""
    listener = Listener(tls_cert=tls_authority.certificate, tls_key=tls_authority.key)
    with RunningRouter(RouterConfig(key_bits=2048, listener=listener)) as router:
        url = router.url.replace("127.0.0.1", "localhost")
        env = {**os.environ, "SSL_CERT_FILE": str(tls_authority.ca)}
        assert output_of(program, url, twin_class, str(key_directory), env=env) == "[]\n"


def test_fork_waits_until_a_first_request_has_imported_its_library(router: RunningRouter, key_directory: Path) -> None:
    program = """
import asyncio, os, signal, sys, threading, warnings
import nomyo
warnings.simplefilter("ignore")
HELLO = [{"role": "user", "content": "Hello"}]
importing, forking = threading.Event(), threading.Event()

class Held:
    def find_spec(name, path=None, target=None):
        if name == "aiohttp.connector":
            importing.set()
            assert forking.wait(60)

def ask():
    client = nomyo.SecureChatCompletion(sys.argv[1], True, key_dir=sys.argv[2])
    print(asyncio.run(client.create(model="m", messages=HELLO)).choices[0].message.content, flush=True)
    client.dispose()

nomyo.SecureChatCompletion
sys.meta_path.insert(0, Held)
os.register_at_fork(before=forking.set)  # the hook that is registered last comes first
asking = threading.Thread(target=ask)
asking.start()
assert importing.wait(60)
child = os.fork()
if child == 0:
    signal.alarm(60)  # for a child that hangs
    ask()
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
asking.join()
"""
    assert output_of(program, router.url, str(key_directory), env=unmeasured()) == "Hello\nHello\n"
