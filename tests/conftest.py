"""What most tests share: both twins, a real router, and key pairs that are made once."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from nomyo import _core, _warn
from nomyo.exchange import driver
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.faults import FaultyRouter
from support.scene import Scene
from support.tls import Authority, make_authority
from support.twins import TWINS, Twin

if TYPE_CHECKING:
    from support.sdk import Sdk

# A shell has its background jobs ignore SIGINT, nohup has its program ignore SIGHUP, and their children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

with suppress(ImportError):  # in the venvs of the OpenAI SDK
    from hypothesis import HealthCheck, settings

    # How long an example takes says how busy the machine is.
    settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("untimed")

_SHARED_ROUTERS: list[RunningRouter] = []

SLOW_S = 5
LONG_COLLECTION_S = 0.004
PLAIN_HTTP = "ignore:the router is spoken to over plain HTTP"
NO_API_KEY = "ignore:there is no API key"
# An ordinary user may lock 8 MiB, which tests of large texts exceed, in the process of many other tests.
UNLOCKED = r"ignore:\d+ KiB of working memory (could not be|are not) locked under a limit of"


# What a fixture needs beyond Python, Rust, a C compiler and make; so do the tests that take it.
OUTSIDE = {
    "browser": "Chromium",
    "read_only": "root, to mount a file system",
    "small_disk": "root, to mount a file system",
}


_started: list[str] = []


@pytest.hookimpl(tryfirst=True)  # before `-m` deselects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests speak plain HTTP to 127.0.0.1, without an API key (all these warnings have tests); mark fixtures."""
    is_limited = _core.memory_status()["limit_bytes"] >= 0
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(PLAIN_HTTP))
        item.add_marker(pytest.mark.filterwarnings(NO_API_KEY))
        if is_limited:
            item.add_marker(pytest.mark.filterwarnings(UNLOCKED))
        for fixture in OUTSIDE.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.outside(OUTSIDE[fixture]))
    _started.clear()  # by what is imported


def pytest_collection() -> None:
    """Look for no garbage while modules and tests are only added: that would take a sixth of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave everything that exists before the first test out of later garbage collections.

    Each test ends with a full collection. Going through the modules and the tests themselves would take longer than
    most tests do.
    """
    gc.enable()
    gc.collect()
    gc.freeze()


_new_program: Any = subprocess.Popen.__init__


def _note_program(self: Any, args: object, *others: Any, **options: Any) -> None:
    """Note the name of the program that is started.

    No audit hook: CPython 3.11 starts no thread while one runs in another thread that coverage is about to trace.
    """
    first = args if isinstance(args, (str, bytes, os.PathLike)) else next(iter(args))  # type: ignore[call-overload]
    _started.append(os.fsdecode(first))
    _new_program(self, args, *others, **options)


subprocess.Popen.__init__ = _note_program  # type: ignore[method-assign]
REPOSITORY = Path(__file__).parents[1]


def _is_ours(program: str) -> bool:
    """Whether a program is there wherever the tests are: Python with its packages, our scripts, and what builds."""
    ours = (sys.prefix, f"{REPOSITORY}/tools")
    return program.startswith(ours) or Path(program).name in {"sh", "make", "cargo", "cc", "uname"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the tests that took long, setting up and tearing down included, without a mark that says why."""
    reports = [each for kind in terminalreporter.stats.values() for each in kind if isinstance(each, pytest.TestReport)]
    took_s: Counter[str] = Counter()
    for report in reports:
        took_s[report.nodeid] += report.duration  # type: ignore[assignment]
    explained = {report.nodeid for report in reports if report.keywords.keys() & {"slow", "outside"}}
    long = [(name, spent) for name, spent in took_s.most_common() if spent > SLOW_S and name not in explained]
    if long:
        terminalreporter.section(f"over {SLOW_S} s without a reason (@pytest.mark.slow)")
        for name, spent in long:
            terminalreporter.line(f"{spent:6.1f} s {name}")


@pytest.fixture(autouse=True)
def _programs_of_others(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that starts a program of somebody else says so by its mark, so that `make test` leaves it out."""
    yield
    others = [program for program in _started if not _is_ours(program)]
    _started.clear()
    marked = request.node.get_closest_marker("outside")
    assert marked or not others, f"{others} may be missing: mark the test `outside`"


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No key directory, environment variable or log level of one test reaches another.

    Garbage is collected while the test still counts, so that a ResourceWarning fails the test it belongs to.
    """
    for name in [name for name in os.environ if name.startswith(("ANTHROPIC_", "NOMYO_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    for name in ("COLUMNS", "LINES"):  # which pytest-xdist sets: terminals have a size of their own
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NOMYO_RATE_DIR", f"{tmp_path}-rates")  # the pauses of one test are no other's
    monkeypatch.setattr(_warn, "_told", set())  # each test is warned of everything
    monkeypatch.chdir(tmp_path)
    # A command called in this process would harden it for all later tests: their children could dump no core.
    monkeypatch.setattr(_core, "harden_process", lambda: None)
    limit = resource.getrlimit(resource.RLIMIT_CORE)
    yield
    assert resource.getrlimit(resource.RLIMIT_CORE) == limit, "the process of the tests was hardened"
    # Whoever replaces a function of `time` or `os` for the whole process replaces it for their threads too.
    assert all(router.serves for router in _SHARED_ROUTERS), "the test stopped a router that all tests share"
    for name in ("nomyo", "nomyo.debug"):
        logging.getLogger(name).setLevel(logging.NOTSET)
        logging.getLogger(name).handlers.clear()
    _collect_garbage()


def _collect_garbage() -> None:
    """Collect all garbage; if that takes long, leave what outlives this test out of later collections.

    Libraries that are imported by a test, and what all tests share, are some hundred thousand objects. To go through
    them again after each of thousands of tests would take a quarter of the time of all tests.
    """
    begun_s = time.thread_time()
    gc.collect()
    if time.thread_time() - begun_s > LONG_COLLECTION_S:
        gc.freeze()


@pytest.fixture(params=sorted(TWINS))
def twin(request: pytest.FixtureRequest) -> Iterator[Twin]:
    """The sync and the async client in turn."""
    twin = TWINS[request.param]()
    yield twin
    twin.close()


@pytest.fixture(params=("async", "sync"))
def sdk(request: pytest.FixtureRequest) -> Iterator[Sdk]:
    """The OpenAI SDK's sync and async client in turn."""
    from support.sdk import SDKS

    sdk = SDKS[request.param]()
    yield sdk
    sdk.close()


@pytest.fixture(scope="session")
def client_key() -> _core.PrivateKey:
    """A 2048-bit pair, made once."""
    return _core.PrivateKey.generate(2048)


@pytest.fixture(scope="session")
def key_directory(client_key: _core.PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with that pair, so that clients need not generate one."""
    directory = tmp_path_factory.mktemp("keys") / "client_keys"
    _core.write_key_directory(directory, client_key)
    return directory


@pytest.fixture(scope="session")
def key_options(key_directory: Path) -> list[str]:
    """Options by which a command uses that pair. To make one of 4096 bits takes longer than all else of a chat."""
    return ["--key-dir", str(key_directory)]


@pytest.fixture(scope="session")
def archive_key() -> _core.PrivateKey:
    """A pair that rows of a batch are sealed for."""
    return _core.PrivateKey.generate(2048)


@pytest.fixture(scope="session")
def archive(archive_key: _core.PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with that pair."""
    directory = tmp_path_factory.mktemp("archive") / "archive"
    _core.write_key_directory(directory, archive_key)
    return directory


@pytest.fixture(scope="session")
def router() -> Iterator[RunningRouter]:
    """A local router with the echo model."""
    with RunningRouter(RouterConfig(key_bits=2048)) as running:
        _SHARED_ROUTERS.append(running)
        yield running
        _SHARED_ROUTERS.remove(running)


@pytest.fixture(scope="session")
def _shared_faulty_router() -> Iterator[FaultyRouter]:
    with FaultyRouter() as faulty:
        _SHARED_ROUTERS.append(faulty.running)
        yield faulty
        _SHARED_ROUTERS.remove(faulty.running)


@pytest.fixture
def faulty_router(_shared_faulty_router: FaultyRouter) -> FaultyRouter:
    """A router in front of which a test puts faults; it has seen nothing yet."""
    _shared_faulty_router.reset()
    return _shared_faulty_router


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which take no time."""
    waited: list[float] = []

    async def note_async(seconds: float) -> None:
        waited.append(seconds)

    # The driver's own view of both modules: the router's event loop must go on sleeping.
    monkeypatch.setattr(driver, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": note_async}))
    monkeypatch.setattr(driver, "time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.fixture
def unused_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def tls_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate for this machine, and the authority that vouches for it."""
    return make_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Messages, a key pair and a router, all of whose secrets a scan can tell."""
    with Scene(tmp_path) as scene:
        yield scene
