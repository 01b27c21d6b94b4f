"""Sphinx's configuration. Warnings are errors (`-W`), so a link that leads nowhere fails the build."""

from __future__ import annotations

import tomllib
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_ADDRESSES = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"].get("urls", {})

project = "nomyo"
release = tomllib.loads((_ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
extensions = ["myst_parser"]
root_doc = "index"
nitpicky = True

myst_heading_anchors = 5  # the same anchors as on GitHub
smartquotes = False  # they make a dash of the two hyphens of an option
highlight_language = "text"  # of a block that names none: what a program prints
html_theme = "furo"
html_title = f"nomyo {release}"
# Pages name the site's address as their own, if it is set: copies of them then count as copies.
html_baseurl = _ADDRESSES.get("Documentation", "")
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_search_scorer = str(Path(__file__).with_name("search_scorer.js"))
html_copy_source = False
html_use_index = False
html_show_sphinx = False
html_show_copyright = False
html_permalinks_icon = "#"
# The same in every build.
html_last_updated_fmt = None
pygments_style = "a11y-light"
pygments_dark_style = "a11y-dark"
html_theme_options = {"navigation_with_keys": True}
