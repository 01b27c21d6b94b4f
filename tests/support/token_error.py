"""How far the estimate of `count_tokens` is off: a table for docs/anthropic.md. By hand, in a venv of its own.

    python3 -m venv .venv-tokens
    .venv-tokens/bin/pip install --requirement tests/tokens-requirements.txt --editable .
    .venv-tokens/bin/python tests/support/token_error.py

The tokenizers are real ones, whose data lie in packages of PyPI: Qwen's (in `dashscope`, for `tiktoken`), and OpenAI's
o200k (in `bpe-openai`). The texts are none that the weights were fitted to: Python's own reference and standard
library, a lock file of npm, and the translations that Sphinx brings.
"""

from __future__ import annotations

import base64
import pydoc_data.topics
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nomyo.anthropic_form.token_estimate import text_tokens

PIECE_CHARACTERS = 4000
PIECES = 40
LANGUAGES = {
    "German": "de", "French": "fr", "Spanish": "es", "Polish": "pl", "Turkish": "tr", "Russian": "ru", "Greek": "el",
    "Arabic": "ar", "Hindi": "hi", "Chinese": "zh_CN", "Japanese": "ja", "Korean": "ko",
}  # fmt: skip
# As in dashscope/tokenizers/qwen_tokenizer.py.
QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _in_package(package: str, *parts: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent.joinpath(*parts)


def _qwen() -> Callable[[str], int]:
    import tiktoken

    lines = _in_package("dashscope", "resources", "qwen.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
    encoding = tiktoken.Encoding("qwen", pat_str=QWEN_PATTERN, mergeable_ranks=ranks, special_tokens={})
    return lambda text: len(encoding.encode_ordinary(text))


def _o200k() -> Callable[[str], int]:
    import bpe_openai

    encoding: Any = bpe_openai.get_encoding("o200k_base")
    return lambda text: len(encoding.encode(text))


def _texts() -> Iterator[tuple[str, str]]:
    library = Path(re.__file__).parents[1]
    yield "English prose", "\n".join(pydoc_data.topics.topics.values())
    yield "Python", "\n".join(path.read_text() for path in sorted((library / "asyncio").glob("*.py")))
    yield "JSON", (Path(__file__).parents[1] / "node" / "package-lock.json").read_text()
    for language, code in LANGUAGES.items():
        entries = _in_package("sphinx", "locale", code, "LC_MESSAGES", "sphinx.po").read_text(encoding="utf-8")
        yield language, "\n".join(re.findall(r'^(?:msgstr )?"(.+)"$', entries.partition("msgid")[2], re.MULTILINE))


def main() -> None:
    """Print the table."""
    qwen, o200k = _qwen(), _o200k()
    print("| text | characters | against Qwen's tokenizer | worst piece | against o200k |")
    print("|---|---|---|---|---|")
    for name, text in _texts():
        pieces = [text[i : i + PIECE_CHARACTERS] for i in range(0, len(text), PIECE_CHARACTERS)][:PIECES]
        estimates, exact = [text_tokens(piece) for piece in pieces], [qwen(piece) for piece in pieces]
        others = sum(o200k(piece) for piece in pieces)
        worst = max((estimate / count - 1 for estimate, count in zip(estimates, exact, strict=True)), key=abs)
        size = sum(map(len, pieces))
        off, off_other = sum(estimates) / sum(exact) - 1, sum(estimates) / others - 1
        print(f"| {name} | {size:,} | {off:+.0%} | {worst:+.0%} | {off_other:+.0%} |")


if __name__ == "__main__":
    main()
