"""Makes a file, or replaces its content, in one step. No other file ever holds the content.

The new file has no name while it is written (Linux's O_TMPFILE, open(2)). It takes the old file's name when it is
complete and on the disk. So a crash leaves the old file and nothing else. Only a crash between the two system calls
that name the file leaves a complete second file, which `remove_leftover` removes. If the file system has no nameless
files (NFS), the new file has this second name from the beginning.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from nomyo._files.file_systems import has_no_links, keep_mode, naming, sync, sync_directory, write_all
from nomyo._files.opening import create, create_nameless

_CHUNK_BYTES: Final = 1 << 20


def staged(path: Path) -> Path:
    """Return the temporary name of a file's new version. No other program gives its files such a name."""
    return path.with_name(f".{path.name}.nomyo-new")


def replace(path: Path, rows: Iterable[bytes]) -> None:
    """Replace the content of a file, which keeps its mode.

    Args:
        path: The file; not a link.
        rows: The new content, which may be read from the old file.

    Raises:
        OSError: The disk is full or fails. The file is as it was.
    """
    with rewritten(path) as descriptor, open(descriptor, "wb", closefd=False) as buffered:
        buffered.writelines(rows)


@contextlib.contextmanager
def rewritten(path: Path) -> Iterator[int]:
    """Replace the content of a file, which keeps its mode, if the block ends without an error.

    Yields:
        A descriptor to write the new content to. The block leaves it open.

    Raises:
        OSError: The disk is full or fails. The file is as it was.
    """
    new = staged(path)
    with naming(path), _new_file(new) as file:
        keep_mode(file.descriptor, stat.S_IMODE(path.stat().st_mode))
        yield file.descriptor
        file.name()
        file.close_descriptor()  # Windows renames no open file
        os.replace(new, path)
    sync_directory(path)


@contextlib.contextmanager
def created(path: Path) -> Iterator[int]:
    """Make a file, readable by its owner alone, which exists only if the block ends without an error.

    If the file system has no hard links, an empty file reserves the name for an instant at the end. A crash in that
    instant leaves the empty file.

    Yields:
        A descriptor to write to.

    Raises:
        FileExistsError: Something with this name exists; it stays as it is.
        OSError: The disk is full or fails.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "there is something by that name, which is never overwritten", str(path))
    check_directory(path)
    remove_leftover(path)
    with naming(path), _new_file(staged(path)) as file:
        yield file.descriptor
        file.name()
        file.close_descriptor()
        _link_or_rename(staged(path), path)
    sync_directory(path)


def remove_leftover(path: Path) -> None:
    """Remove the temporary file that a crash left of a replacement."""
    staged(path).unlink(missing_ok=True)


def check_directory(path: Path) -> None:
    """Refuse a file whose directory does not exist.

    Raises:
        FileNotFoundError: The directory does not exist. The error names it as the caller gave it.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))


class _NewFile:
    """A new file, which is nameless while it is written, if the file system can do that.

    Args:
        path: The name that it gets in the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        nameless = create_nameless(path.parent)
        self._named = nameless is None
        self.descriptor = create(path) if nameless is None else nameless
        self._is_open = True

    def name(self) -> None:
        """Sync the file, and give it its name."""
        sync(self.descriptor, self.path)
        if self._named:
            return
        try:
            _link_nameless(self.descriptor, self.path)
        except OSError as error:
            if not has_no_links(error):
                raise
            self._copy()
        self._named = True

    def close_descriptor(self) -> None:
        """Close the file, which keeps its temporary name."""
        if self._is_open:
            self._is_open = False
            os.close(self.descriptor)

    def close(self) -> None:
        """Close the file, and remove its temporary name if it still has it."""
        self.close_descriptor()
        if self._named:
            self.path.unlink(missing_ok=True)

    def _copy(self) -> None:
        """Copy the content into a named file: without hard links, a nameless file cannot get a name."""
        nameless, self.descriptor = self.descriptor, create(self.path)
        self._named = True
        with open(nameless, "rb") as source:
            source.seek(0)
            keep_mode(self.descriptor, stat.S_IMODE(os.fstat(nameless).st_mode))
            while piece := source.read(_CHUNK_BYTES):
                write_all(self.descriptor, piece)
        sync(self.descriptor, self.path)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[_NewFile]:
    file = _NewFile(path)
    try:
        yield file
    finally:
        file.close()


def _link_nameless(descriptor: int, new: Path) -> None:
    """Give a nameless file its name, in the way that open(2) shows.

    `os.link` follows the link in /proc only if it calls linkat(2), and for that it needs a directory.
    """
    directory = os.open(new.parent, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)
    try:
        os.link(f"/proc/self/fd/{descriptor}", new.name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(new)) from None
    finally:
        os.close(directory)


def _link_or_rename(new: Path, path: Path) -> None:
    """Give a file its name, never replacing another one. Without hard links, an empty file reserves the name first.

    No process has the file open: Windows renames no open file.
    """
    try:
        os.link(new, path)
    except OSError as error:
        if not has_no_links(error):
            raise OSError(error.errno, error.strerror, str(path)) from None
    else:
        return
    os.close(create(path))
    try:
        os.replace(new, path)
    except BaseException:
        path.unlink(missing_ok=True)  # else nobody could try again, for nothing is overwritten
        raise
