"""`python -m release`: refuses what is not ready, prints the notes, and fits the README to a package index."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import tarfile
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from release import __main__ as command
from release import project
from release.changelog import section
from release.check import obstacles
from release.links import absolute
from release.project import UnfitError

ROOT = Path(__file__).parents[2]
URLS = """[project.urls]
Repository = "https://code.nomyo.ai/nomyo"
Documentation = "https://docs.nomyo.ai"
Security = "https://code.nomyo.ai/nomyo/security"
"""
FILES = {
    "Cargo.toml": '[workspace.package]\nversion = "1.2.3"\n',
    "pyproject.toml": f'[project]\nname = "nomyo"\n{URLS}',
    "CHANGELOG.md": (
        "# Changelog\n\n## 1.2.3 (2026-12-01)\n\n- New.\n\n### Changed\n\n- Old.\n\n## 1.2.2 (2026-11-01)\n\n- Older.\n"
    ),
    "README.md": "See [the guide](docs/guide.md#start), ![a picture](a.svg) and [the site](https://nomyo.ai).\n",
    "docs/guide.md": "# Start\n",
    "a.svg": "",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository that can be released, with its tag; git says so."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(project, "git", lambda _root, command, *_: {"status": "", "tag": "v1.2.3"}[command])
    return tmp_path


@pytest.mark.outside("git")
def test_git_is_asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    git = ["git", "-C", str(root), "-c", "user.name=T", "-c", "user.email=t@localhost"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "All"], ["tag", "v1.2.3"]):
        subprocess.run([*git, *words], check=True)
    assert obstacles(root, "v1.2.3") == []
    (root / "a.svg").write_text("changed")
    (root / "b.svg").write_text("new")
    assert obstacles(root, None) == [
        "the tree is not clean: a.svg, and 1 more; commit or remove what differs from the commit"
    ]
    (root / ".git").rename(root / "git")
    assert "`git status --porcelain` fails: fatal: not a git repository" in obstacles(root, None)[0]
    monkeypatch.setenv("PATH", "")
    assert obstacles(root, None) == ["git is missing"]


@pytest.mark.parametrize("tag", [None, "v1.2.3"])
def test_what_is_ready_has_no_obstacle(root: Path, tag: str | None) -> None:
    assert obstacles(root, tag) == []


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        ("pyproject.toml", URLS, "", "Repository is not set in [project.urls] (where the source is"),
        ("pyproject.toml", '"https://docs.nomyo.ai"', '""', "Documentation is not set"),
        (
            "pyproject.toml",
            '"https://docs.nomyo.ai"',
            '"https://docs.example.com/x"',
            "Documentation in [project.urls] sho",
        ),
        (
            "pyproject.toml",
            '"https://docs.nomyo.ai"',
            '"http://docs.nomyo.ai"',
            "Documentation in [project.urls] should",
        ),
        ("pyproject.toml", '"https://docs.nomyo.ai"', '"https://[docs"', "Documentation in [project.urls] should be"),
        ("pyproject.toml", '"https://docs.nomyo.ai"', '"https://"', "Documentation in [project.urls] should be an"),
        ("pyproject.toml", '"https://docs.nomyo.ai"', "5", "Documentation in [project.urls] should be an https"),
        ("pyproject.toml", URLS, "urls = 5\n", "[project.urls] should be a table"),
        ("pyproject.toml", "[project]", "[project", "pyproject.toml is not TOML"),
        ("pyproject.toml", FILES["pyproject.toml"], "", "pyproject.toml has no table [project]"),
        ("Cargo.toml", "1.2.3", "1.2", "version should be like 1.0.0, and is '1.2'"),
        ("Cargo.toml", "1.2.3", "1.2.4", "CHANGELOG.md has no section `## 1.2.4 (YYYY-MM-DD)`"),
        ("CHANGELOG.md", "2026-12-01", "unreleased", "the heading of 1.2.3 should have the day of the release"),
        ("CHANGELOG.md", "2026-12-01", "2026-13-01", "the heading of 1.2.3 should have the day of the release"),
        ("CHANGELOG.md", "2026-12-01", "20261201", "the heading of 1.2.3 should have the day of the release"),
        ("CHANGELOG.md", "2026-12-01", "2026-W49-2", "the heading of 1.2.3 should have the day of the release"),
        ("CHANGELOG.md", " (2026-12-01)", "", "the heading of 1.2.3 should have the day of the release"),
        ("README.md", "docs/guide.md", "docs/gone.md", "README.md: the link to docs/gone.md leads to no file"),
    ],
)
def test_each_obstacle_is_named(root: Path, name: str, before: str, after: str, said: str) -> None:
    text = (root / name).read_text()
    assert before in text
    (root / name).write_text(text.replace(before, after))
    found = obstacles(root, None)
    assert any(said in one for one in found), found


def test_tag_that_does_not_fit_is_refused(root: Path) -> None:
    assert obstacles(root, "v1.2.4") == [
        "the tag is v1.2.4, and Cargo.toml has the version 1.2.3, whose tag is v1.2.3",
        "the tag v1.2.4 is not at the commit that is checked out",
    ]
    assert len(obstacles(root, "$(x)")) == 2


def test_file_that_cannot_be_read_is_named(root: Path) -> None:
    (root / "CHANGELOG.md").write_bytes(b"\xff")
    (root / "README.md").unlink()
    first, second = obstacles(root, None)
    assert first.startswith("CHANGELOG.md cannot be read: ")
    assert second.startswith("README.md cannot be read: ")


def test_notes_are_the_section_of_the_version(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["release", "--root", str(root), "notes"])
    assert command.main() == 0
    assert capsys.readouterr().out == "- New.\n\n### Changed\n\n- Old.\n"
    assert section(root, "1.2.2").text == "- Older.\n"
    (root / "CHANGELOG.md").write_text("## 1.2.3 (2026-12-01)\n\n## 1.2.2\n")
    with pytest.raises(UnfitError, match="is empty"):
        section(root, "1.2.3")


def test_relative_links_lead_to_the_files_of_the_tag() -> None:
    text = absolute((ROOT / "README.md").read_text(), ROOT, "https://code.nomyo.ai/nomyo/", "v1.2.3")
    assert "](https://code.nomyo.ai/nomyo/blob/v1.2.3/docs/openai.md#langchain)" in text
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert [link for link in re.findall(r"\]\(([^)\s]+)\)", outside) if not link.startswith("https://")] == []


METADATA = "Metadata-Version: 2.4\nName: nomyo\nVersion: 1.2.3\nDescription-Content-Type: text/markdown\n\n"


@pytest.fixture
def wheel(root: Path) -> Path:
    wheel = root / "nomyo-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("nomyo/__init__.py", "")
        file.writestr("nomyo-1.2.3.dist-info/METADATA", METADATA + FILES["README.md"])
        empty = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0"
        lines = [
            f"nomyo/__init__.py,{empty}",
            f"nomyo-1.2.3.dist-info/METADATA,{empty}",
            "nomyo-1.2.3.dist-info/RECORD,,",
        ]
        file.writestr("nomyo-1.2.3.dist-info/RECORD", "\n".join(lines) + "\n")
    return wheel


def run(root: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["release", "--root", str(root), *words])
    return command.main()


def test_readme_in_a_wheel_gets_its_links_and_the_record_its_hash(
    root: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(root, monkeypatch, "readme", str(wheel)) == 0
    once = wheel.read_bytes()
    assert run(root, monkeypatch, "readme", str(wheel)) == 0
    assert wheel.read_bytes() == once
    zipfile.ZipFile(wheel).extractall(root / "site")
    installed = PathDistribution(root / "site/nomyo-1.2.3.dist-info")
    description = str(installed.metadata.get_payload())  # type: ignore[attr-defined]
    assert "[the guide](https://code.nomyo.ai/nomyo/blob/v1.2.3/docs/guide.md#start)" in description
    assert "![a picture](https://code.nomyo.ai/nomyo/raw/v1.2.3/a.svg)" in description
    metadata = (root / "site/nomyo-1.2.3.dist-info/METADATA").read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(metadata).digest()).decode().rstrip("=")
    lines = (root / "site/nomyo-1.2.3.dist-info/RECORD").read_text().splitlines()
    assert lines[1] == f"nomyo-1.2.3.dist-info/METADATA,sha256={digest},{len(metadata)}"


def test_readme_in_a_source_distribution_gets_its_links(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = root / "nomyo-1.2.3.tar.gz"
    with tarfile.open(source, "w:gz") as file:
        for name, text in {"PKG-INFO": METADATA + FILES["README.md"], "rust/PKG-INFO": "another"}.items():
            entry = tarfile.TarInfo(f"nomyo-1.2.3/{name}")
            entry.size = len(text)
            file.addfile(entry, io.BytesIO(text.encode()))
    assert run(root, monkeypatch, "readme", str(source)) == 0
    once = source.read_bytes()
    assert run(root, monkeypatch, "readme", str(source)) == 0
    assert source.read_bytes() == once
    with tarfile.open(source) as file:
        texts = [member.read().decode() for name in file.getnames() if (member := file.extractfile(name))]
    assert "(https://code.nomyo.ai/nomyo/blob/v1.2.3/docs/guide.md#start)" in texts[0]
    assert texts[1] == "another"


@pytest.mark.parametrize(
    ("name", "content"), [("a.zip", b""), ("a.whl", b"no zip"), ("a.tar.gz", b"no gzip"), ("b", None)]
)
def test_file_that_is_no_distribution_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None
) -> None:
    if content is not None:
        (root / name).write_bytes(content)
    assert run(root, monkeypatch, "readme", str(root / name)) == 1
    assert capsys.readouterr().err.startswith("release: ")


def test_readme_is_not_fitted_without_an_address(
    root: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "pyproject.toml").write_text("[project]\n")
    assert run(root, monkeypatch, "readme", str(wheel)) == 1
    assert "Repository in [project.urls] is not set" in capsys.readouterr().err


def test_project_itself_says_its_version_and_which_addresses_there_are() -> None:
    assert project.version(ROOT)
    assert project.addresses(ROOT).keys() <= project.ADDRESSES.keys()
    marked = (ROOT / "pyproject.toml").read_text()
    assert all(f"{name} = " in marked for name in project.ADDRESSES)


USES = re.compile(r"uses: (\S+)(?: # (\S+))?")


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_by_a_whole_digest_with_their_version(workflow: Path) -> None:
    text = workflow.read_text()
    for action, version in USES.findall(text):
        if not action.startswith("./"):
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r"v\d+\.\d+\.\d+", version), action
    assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")


@pytest.mark.parametrize("name", [".github/workflows/release.yml", "Dockerfile", "Makefile", "tools/wheels/build.py"])
def test_maturin_does_not_warn_of_our_build_backend(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "maturin" in text
    assert re.search(r'MATURIN_NO_MISSING_BUILD_BACKEND_WARNING"?(=|: )"?1', text)
