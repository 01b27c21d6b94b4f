"""The format of a file, by its name: `answers.csv.gz` is CSV within gzip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

JSONL: Final = "JSON lines"
CSV: Final = "CSV"
TSV: Final = "TSV"
PARQUET: Final = "Parquet"
ARROW: Final = "Arrow IPC"
GZIP: Final = "gzip"
ZSTD: Final = "zstd"
_KINDS: Final = {
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".csv": CSV,
    ".tsv": TSV,
    ".parquet": PARQUET,
    ".arrow": ARROW,
    ".arrows": ARROW,
    ".feather": ARROW,
    ".ipc": ARROW,
}
_COMPRESSIONS: Final = {".gz": GZIP, ".zst": ZSTD}
NAMES: Final = f"{', '.join(_KINDS)}, each also with {' or '.join(_COMPRESSIONS)}"


@dataclass(frozen=True, slots=True)
class Format:
    """What a file holds."""

    kind: str
    compression: str | None = None
    is_stream: bool = False
    """For Arrow IPC: whether it has the form of a stream (`.arrows`), in which it is written."""

    @property
    def is_text(self) -> bool:
        """Whether it consists of lines."""
        return self.kind in (JSONL, CSV, TSV)


def format_of(path: PurePath) -> Format | None:
    """Return the format that a file's name says; None if it says none."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    rest = suffixes[:-1] if compression else suffixes
    kind = _KINDS.get(rest[-1]) if rest else None
    return None if kind is None else Format(kind, compression, rest[-1] == ".arrows")
