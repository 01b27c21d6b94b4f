"""`make test` takes AWS-LC for its Rust tests as `make build` compiled it."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

SCRIPT = next(folder for folder in Path(__file__).parents if (folder / "Makefile").exists()) / "tools/built-aws-lc.sh"


def options() -> str:
    return subprocess.run([str(SCRIPT)], capture_output=True, text=True, timeout=60, check=True).stdout


def build(name: str, *, with_archive: bool) -> Path:
    """Make what cargo keeps of AWS-LC's build script."""
    out = Path(f"target/release/build/aws-lc-sys-{name}/out").absolute()
    out.mkdir(parents=True)
    archive = out / "libaws_lc_9_9_9_crypto.a"
    lines = {
        "rustc-cfg": "some_host",
        "rustc-link-lib": "static=aws_lc_9_9_9_crypto",
        "rustc-link-search": f"native={out}",
        "libcrypto_path": archive,
        "include": out / "include",
    }
    (out.parent / "output").write_text("".join(f"cargo:{key}={value}\n" for key, value in lines.items()))
    if with_archive:
        archive.touch()
    return out


def test_cargo_is_told_where_it_lies() -> None:
    out = build("one", with_archive=True)
    assert options() == "--config target/aws-lc.toml\n"
    [table] = tomllib.loads(Path("target/aws-lc.toml").read_text())["target"].values()
    assert table == {
        "aws_lc_9_9_9": {
            "rustc-link-lib": ["static=aws_lc_9_9_9_crypto"],
            "rustc-link-search": [f"native={out}"],
            "rustc-cfg": ["some_host"],
            "include": f"{out}/include",
        }
    }


def test_cargo_compiles_it_if_it_is_not_there() -> None:
    assert options() == ""
    build("moved", with_archive=False)
    assert options() == ""
