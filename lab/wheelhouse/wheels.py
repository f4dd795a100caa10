# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wheels of pure Python that stand in for those of vLLM and torch, written without a build: the same contents make the same file."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

_TORCH = (
    "from typing import Optional as _Optional\n"
    "__all__ = ['__version__', 'cuda']\n__version__ = '{version}'\ndebug = False\ncuda: _Optional[str] = {cuda}\nhip = None\n"
)
_TORCH_MODULE = "from torch import version\nfrom torch.version import __version__\n"


def write(folder: Path, name: str, version: str, requires: list[str], files: dict[str, str], commands: dict[str, str] | None = None) -> None:
    """Write one wheel.

    :param files: texts by their path in the wheel
    :param commands: commands that its installation creates, by name: the function that each calls
    """
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {one}\n" for one in requires)
    contents = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: inferops.gpu\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if commands:
        contents[f"{info}/entry_points.txt"] = "[console_scripts]\n" + "".join(f"{command} = {function}\n" for command, function in commands.items())
    record = ""
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in contents.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text.encode())}\n"
            archive.writestr(zipfile.ZipInfo(path), text)
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), record + f"{info}/RECORD,,\n")


def torch(folder: Path, version: str, cuda: str | None, requires: list[str]) -> None:
    """Write a wheel of torch for a CUDA, or for none."""
    # The real one has it as an attribute as well, which the import check reads.
    write(folder, "torch", version, requires, {"torch/__init__.py": _TORCH_MODULE, "torch/version.py": _TORCH.format(version=version, cuda=repr(cuda))})
