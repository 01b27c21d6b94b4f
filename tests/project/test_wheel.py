"""The wheel: what it is called, what it holds, and that it works where there is neither Rust nor a compiler."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from nomyo import _core
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


def test_wheel_lists_its_crates_and_the_c_library_in_one_of_them(wheel: Path) -> None:
    """As PEP 770 has it: CycloneDX files in `.dist-info/sboms`, which scanners look for."""
    with zipfile.ZipFile(wheel) as opened:
        lists = [json.loads(opened.read(name)) for name in opened.namelist() if ".dist-info/sboms/" in name]
    listed = {part["name"]: part["version"] for found in lists for part in found["components"]}
    locked = tomllib.loads((DIST.parent / "Cargo.lock").read_text())["package"]
    versions = {crate["name"]: crate["version"] for crate in locked}

    assert {found["bomFormat"] for found in lists} == {"CycloneDX"}
    assert f"AWS-LC {listed.pop('aws-lc')}" == _core.crypto_version()  # rust/core/aws-lc.cdx.json: after an upgrade
    assert {"aws-lc-sys", "libc", "nomyo-core", "pyo3", "wide"} <= set(listed)
    assert listed == {name: versions[name] for name in listed}


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


def test_wheel_replaces_the_client_before_it_and_gives_way_to_it_again(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    site = next((tmp_path / "venv").glob("lib/python3*/site-packages"))
    without = _files(site)

    old = ["--only-binary=:all:", "nomyo==0.2.9"]
    for installed, works in ((old, OLD_WORKS), ([str(wheel)], NEW_WORKS), (old, OLD_WORKS)):
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", *installed], check=True)
        subprocess.run([python, "-I", "-c", works.format(lent=sysconfig.get_path("purelib"))], check=True, cwd=tmp_path)
        assert _files(site) - without == _recorded(site)
    subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "nomyo"], check=True)

    assert _files(site) == without


# What both are built on is lent by the suite's environment.
LENT = "import sys; sys.path.append({lent!r}); import nomyo; assert 'site-packages' in nomyo.__file__; "
OLD_WORKS = LENT + "assert nomyo.SecureChatCompletion and not hasattr(nomyo, 'SyncSecureChatCompletion')"
NEW_WORKS = LENT + "assert nomyo._core.build_info()['version'] == nomyo.__version__ == '1.0.0'"


def _files(site: Path) -> set[str]:
    found = (path for path in site.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(site).as_posix() for path in found}


def _recorded(site: Path) -> set[str]:
    """Return the files that the nomyo which is installed counts as its own, without commands."""
    (record,) = site.glob("nomyo-*.dist-info/RECORD")
    names = (line.rsplit(",", 2)[0] for line in record.read_text().splitlines())
    return {name for name in names if not name.startswith("..") and not name.endswith(".pyc")}
