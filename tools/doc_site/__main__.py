"""Builds the site into the directory that is named. Exits with Sphinx's code: not 0 if a link leads nowhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from doc_site import llms, staging

_CONFIGURATION = Path(__file__).parent


def build(site: Path) -> int:
    """Build the site anew."""
    shutil.rmtree(site, ignore_errors=True)
    with tempfile.TemporaryDirectory() as directory:
        staged = Path(directory) / "pages"
        staged.mkdir()
        pages = staging.markdown(staged)
        staging.stage(pages, staged)
        code = _sphinx("-d", f"{directory}/doctrees", str(staged), str(site))
    if code == 0:
        llms.write(pages, site)
    return code


def _sphinx(*words: str) -> int:
    """Run Sphinx. It tells all warnings, each of which fails the build."""
    options = ["-b", "html", "--fail-on-warning", "--quiet", "-c", str(_CONFIGURATION)]
    return subprocess.run([sys.executable, "-m", "sphinx", *options, *words], check=False).returncode  # noqa: S603 - our own words


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
