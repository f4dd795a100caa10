# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared by the steps of a build: running a program, reporting progress, and the environment for uv."""

from __future__ import annotations

import os
import subprocess
import typing as t

from .._exit_status import describe
from .._masking import masked
from .._writing import StatusFile

TRUST_STORE = "/etc/ssl/certs/ca-certificates.crt"


class BuildError(Exception):
    """A step that failed: what happened, and the fix."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


class Status(StatusFile):
    """The status file from which a play reads the build's progress."""

    def write(self, text: str, **values: t.Any) -> None:
        """Replace the file, and print the same text to the journal."""
        print(": ".join(str(part) for part in (text, values.get("error")) if part), flush=True)
        self.put({"text": text, **values})


def is_managed(python: str) -> bool:
    """Whether a Python is a version, which uv installs, and not the path of an interpreter."""
    return not python.startswith("/")


def uv_environment(spec: dict[str, t.Any], wheels: str = "") -> dict[str, str]:
    """Return the environment for uv, with a folder of wheels as a further source. Index URLs may have credentials, so they are never arguments."""
    index = spec["index"]
    find_links = [*index["find_links"], *([wheels] if os.path.isdir(wheels) else [])]
    environment = {**os.environ, "UV_CACHE_DIR": spec["cache_dir"], "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    if is_managed(spec["python"]):
        # A version means a Python that uv installs, never one that happens to be on the host. It is kept: releases depend on it.
        environment.update(UV_PYTHON_DOWNLOADS="automatic", UV_MANAGED_PYTHON="1", UV_PYTHON_INSTALL_DIR=spec["python_dir"])
        if spec.get("python_mirror"):
            environment["UV_PYTHON_INSTALL_MIRROR"] = spec["python_mirror"]
    if os.path.exists(TRUST_STORE):
        environment["SSL_CERT_FILE"] = TRUST_STORE
    if index["index_url"]:
        environment["UV_DEFAULT_INDEX"] = index["index_url"]
    if index["extra_index_urls"]:
        environment["UV_INDEX"] = " ".join(index["extra_index_urls"])
    if find_links:
        environment["UV_FIND_LINKS"] = ",".join(find_links)
    if spec["torch_backend"]:
        environment["UV_TORCH_BACKEND"] = spec["torch_backend"]
    return {**environment, **netrc_environment(spec)}


def netrc_environment(spec: dict[str, t.Any]) -> dict[str, str]:
    """Return the variable by which uv and pip find credentials of indexes; nothing when the file does not exist."""
    path = spec.get("netrc", "")
    return {"NETRC": path} if path and os.path.exists(path) else {}


def run(command: list[str], environment: dict[str, str], fix: str, folder: str | None = None) -> str:
    """Run one step in a folder and return its output. Raises BuildError with the end of the output."""
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", check=False,
        )
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} does not exist on the host", fix) from error
    if done.returncode != 0:
        # uv and pip quote index URLs, whose credentials are in the environment.
        said = masked(done.stdout, *(value for value in environment.values() if "://" in value))
        print(said, flush=True)
        raise BuildError(f"{' '.join([os.path.basename(command[0]), *command[1:2]])} {describe(done.returncode)}: {last_words(said)}", fix)
    return done.stdout


def last_words(text: str) -> str:
    """Return the end of a program's output on one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-6:])[-900:] or "no output"
