"""The lowest versions that pyproject.toml allows, which `make test-lowest` installs."""

from __future__ import annotations

from support.lowest_versions import lowest_versions


def test_every_dependency_has_a_lowest_version() -> None:
    names = [one.partition("==")[0] for one in lowest_versions()]
    assert {"aiohttp", "httpx", "typer", "rich", "prompt-toolkit", "starlette", "uvicorn", "openai"} <= set(names)
    assert "prometheus-client==0.23.1" in lowest_versions()
    assert "pyarrow==20" in lowest_versions()


def test_what_only_another_system_needs_is_left_out() -> None:
    assert not [one for one in lowest_versions() if one.startswith("winloop")]
