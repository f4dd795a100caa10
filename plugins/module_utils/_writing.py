# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes files whole or not at all: a reader finds the old file or the new one, also after a power cut.

For directories that root, or the account that writes, owns alone. Where others may write see C(_safe_paths).
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

# What a writer that was killed leaves beside a file; the next one writes over it.
UNFINISHED = ".new"


def replace(path: str, data: t.Union[str, bytes], mode: int = 0o644, durable: bool = False) -> None:
    """Write a file in one step. Raises OSError, and leaves nothing beside the file then.

    :param mode: permissions of the file; until it is complete the owner alone can read it
    :param durable: whether it has to be on the disk when this returns
    """
    new = path + UNFINISHED
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data.encode("utf-8") if isinstance(data, str) else data)
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
    """Write a value as JSON in one step. Raises OSError."""
    replace(path, json.dumps(value, indent=indent) + "\n", mode, durable)


def replace_link(path: str, target: str) -> None:
    """Make or move a symbolic link in one step, so that no reader ever finds it missing. Raises OSError."""
    new = path + UNFINISHED
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    os.symlink(target, new)
    os.replace(new, path)


class StatusFile:
    """The file in which a play reads how far a program is. The program goes on where the file cannot be written, as on a full disk."""

    def __init__(self, path: str) -> None:
        self.path = path
        # Whether the last attempt succeeded: the journal gets one line for many failures.
        self._is_written = True

    def put(self, values: t.Mapping[str, t.Any]) -> None:
        """Replace the file; what a person reads is in C(text)."""
        try:
            replace_json(self.path, values)
            self._is_written = True
        except OSError as error:
            if self._is_written:
                print(f"{self.path} can't be written: {error.strerror}; {values.get('text', '')}", flush=True)
            self._is_written = False
