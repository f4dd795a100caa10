# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write files atomically: a reader finds the old file or the new one, also after a power failure.

For directories that only root, or the account that writes, may write. For others see C(_safe_paths).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import typing as t

# Ending of the temporary file. A killed writer leaves it; the next writer overwrites it.
UNFINISHED = ".new"


def replace(
    path: str, data: t.Union[str, bytes], mode: int = 0o644, durable: bool = False, owner: t.Optional[tuple[int, int]] = None
) -> None:
    """Replace a file atomically. Raises OSError, and then leaves no temporary file.

    :param mode: permissions of the file; until it is complete only the owner can read it
    :param durable: whether to sync it to the disk before returning
    :param owner: numbers of the account and the group that it gets before it has its name
    """
    new = path + UNFINISHED
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data.encode("utf-8") if isinstance(data, str) else data)
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


def replace_json(path: str, value: t.Any, mode: int = 0o644, durable: bool = False, indent: t.Optional[int] = None) -> None:
    """Write a value as JSON atomically. Raises OSError."""
    replace(path, json.dumps(value, indent=indent) + "\n", mode, durable)


def replace_link(path: str, target: str) -> None:
    """Create or replace a symbolic link atomically, so that no reader finds it missing. Raises OSError."""
    new = path + UNFINISHED
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    os.symlink(target, new)
    os.replace(new, path)


def sync_filesystem(folder: str) -> None:
    """Write everything of the folder's file system to the disk. Raises OSError.

    For what other programs wrote there, such as uv and pip, which sync nothing: a file system may write a new name long before the contents of the
    file (30 s on ext4), so a power cut would leave empty files. Not os.sync(): that waits for every file system, also for one whose server does not
    respond.
    """
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(number) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), folder)
    finally:
        os.close(number)


class StatusFile:
    """The status file from which a play reads a program's progress. The program continues if the file cannot be written, for example on a full disk."""

    def __init__(self, path: str) -> None:
        self.path = path
        # Whether the last attempt succeeded: repeated failures print one line to the journal.
        self._is_written = True

    def put(self, values: t.Mapping[str, t.Any]) -> None:
        """Replace the file; C(text) is the part for people."""
        try:
            replace_json(self.path, values)
            self._is_written = True
        except OSError as error:
            if self._is_written:
                print(f"cannot write {self.path}: {error.strerror}; {values.get('text', '')}", flush=True)
            self._is_written = False
