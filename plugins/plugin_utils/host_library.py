# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host library as one archive of plugins/module_utils. The same files always produce the same bytes."""

from __future__ import annotations

import hashlib
import io
import zipfile

from pathlib import Path

from ansible_collections.inferops.gpu.plugins.module_utils import _library

SOURCE = Path(__file__).resolve().parents[1] / "module_utils"
_MAIN = "_main.py"
# The earliest time that a zip archive can store.
_TIME = (1980, 1, 1, 0, 0, 0)


def read(source: Path = SOURCE) -> dict[str, bytes]:
    """The library's files by their paths on a host. Raises OSError."""
    paths = {path.relative_to(source).as_posix(): path for path in source.rglob("*.py")}
    return {"__main__.py" if name == _MAIN else f"{_library.PACKAGE}/{name}": path.read_bytes() for name, path in sorted(paths.items())}


def digest(files: dict[str, bytes]) -> str:
    """The name of the library's directory on a host."""
    return _library.digest({path: hashlib.sha256(data).hexdigest() for path, data in files.items()})


def archive(files: dict[str, bytes]) -> bytes:
    """A zip archive of the files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for path, data in files.items():
            file.writestr(zipfile.ZipInfo(path, _TIME), data, zipfile.ZIP_DEFLATED)
    return made.getvalue()
