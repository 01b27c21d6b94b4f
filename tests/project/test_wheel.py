"""The wheel: what it is called, what it holds, and that it works where there is neither Rust nor a compiler."""

from __future__ import annotations

import os
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

from nomyo.serve.listener import Listener
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.readme_examples import examples
from support.tls import Authority

pytestmark = pytest.mark.outside("the wheel of `make wheel`")

DIST = Path(__file__).parents[2] / "dist"


@pytest.fixture(scope="module")
def wheel() -> Path:
    wheels = list(DIST.glob("nomyo-*.whl"))
    assert len(wheels) == 1, "build one wheel first: `make wheel`"
    return wheels[0]


def test_one_wheel_serves_every_python_from_3_11_on(wheel: Path) -> None:
    assert wheel.name.startswith("nomyo-1.0.0-cp311-abi3-")


def test_wheel_holds_the_package_with_its_types_and_nothing_of_the_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    assert {"nomyo/py.typed", "nomyo/_core.pyi", "nomyo/_core.abi3.so", "nomyo/__init__.py"} <= names
    page = (path.name for path in (Path(__file__).parents[2] / "python/nomyo/serve/proxy/page").iterdir())
    assert {f"nomyo/serve/proxy/page/{name}" for name in page} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert all(name.startswith(("nomyo/", "nomyo-1.0.0.dist-info/")) for name in names)


def test_extension_needs_nothing_but_the_c_library(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extract("nomyo/_core.abi3.so", tmp_path)
    needed = subprocess.run(
        ["ldd", str(tmp_path / "nomyo" / "_core.abi3.so")], capture_output=True, text=True, check=True
    ).stdout

    libraries = {line.split()[0].rpartition("/")[2] for line in needed.splitlines()}
    allowed = ("linux-vdso", "ld-linux", "libc.so", "libm.so", "libgcc_s", "libpthread", "libdl", "librt")
    assert [library for library in libraries if not library.startswith(allowed)] == []


def test_installed_wheel_runs_the_readmes_code_without_rust(
    wheel: Path, tls_authority: Authority, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    bare = {"PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    installing = {name: value for name, value in os.environ.items() if name.upper().startswith(("PIP_", "HTTP", "SSL"))}
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", str(wheel)],
        check=True,
        env={**bare, **installing},
    )
    listener = Listener(tls_cert=tls_authority.certificate, tls_key=tls_authority.key)
    with RunningRouter(RouterConfig(listener=listener)) as router:
        env = {**bare, "NOMYO_BASE_URL": router.url, "SSL_CERT_FILE": str(tls_authority.ca)}
        for example in (examples("README.md")[0], examples("docs/client.md")[0]):
            subprocess.run([python, "-I", "-W", "error", "-c", example], check=True, env=env, cwd=tmp_path)
    doctor = subprocess.run([python, "-m", "nomyo", "doctor"], check=True, env=bare, capture_output=True, text=True)
    refused = subprocess.run([python, "-m", "nomyo", "router"], check=False, env=bare, capture_output=True, text=True)

    sdk = subprocess.run([python, "-c", "import nomyo.openai"], check=False, env=bare, capture_output=True, text=True)

    assert f"pip install '{wheel}[openai]'" in sdk.stderr
    assert "mlock" in doctor.stdout or "lock" in doctor.stdout
    assert refused.returncode == 2
    assert f"pip install '{wheel}[serve]'" in refused.stderr
