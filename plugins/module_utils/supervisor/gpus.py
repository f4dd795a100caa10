# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the GPUs of a unit may be used, looked at before its program starts: nvidia-smi, as the service's account.

That account cannot read the kernel's log, so XIDs are unknown here. The driver itself reports what follows from them: its recovery action.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import typing as t

from .. import _gpu_driver
from ..gpu_health import nvidia_report, verdict

# Seconds that nvidia-smi has: without persistence mode it initializes each GPU first. On a GPU in trouble it may never return.
QUERY_SECONDS = 30.0
MOST_BYTES = 16 * 1024 * 1024
# Which GPUs a unit uses (option --gpus): those in CUDA_VISIBLE_DEVICES, or all of the host.
NAMED, ALL = "named", "all"


def named(which: str, environment: t.Mapping[str, str]) -> list[str] | None:
    """Return the names of a unit's GPUs; None for all of the host, an empty list for none."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return None if which == ALL else []
    return [name for name in (part.strip() for part in visible.split(",")) if name]


class Look:
    """One look at the GPUs: nvidia-smi runs while the supervisor does something else. On a host without nvidia-smi it is done at once."""

    def __init__(self, names: t.Sequence[str] | None) -> None:
        self._names = names
        self._query: subprocess.Popen[bytes] | None = None
        self._failed = ""
        program = shutil.which("nvidia-smi") if names is None or names else None
        if program:
            try:
                # Not a file: the disk may be full. Not a pipe: somebody would have to read it.
                self._output = os.fdopen(os.memfd_create("nvidia-smi"), "w+b")
                self._query = subprocess.Popen(
                    [program, "-q", "-x"], env={"PATH": os.environ.get("PATH", "")}, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT,
                )
            except OSError as error:
                self._failed = f"nvidia-smi cannot be started: {error.strerror}"
        self._deadline = time.monotonic() + QUERY_SECONDS

    def is_done(self) -> bool:
        """Whether it has ended, or takes too long."""
        return self._query is None or self._query.poll() is not None or time.monotonic() >= self._deadline

    def result(self, accepted: t.Collection[str] = ()) -> tuple[list[verdict.Finding], str]:
        """Return the findings that forbid a start, and why the GPUs could not be looked at. To be called once, when it is done.

        :param accepted: names of findings with which the GPUs are used all the same
        """
        if self._query is None:
            return [], self._failed
        status = self._query.poll()
        if status is None:
            # Left alone: the kernel may not let it go.
            self._query.kill()
            return [], f"nvidia-smi did not end within {QUERY_SECONDS:.0f} s"
        self._output.seek(0)
        text = self._output.read(MOST_BYTES).decode(errors="replace")
        self._output.close()
        try:
            found, failed = of_text(text, status, self._names)
        except ValueError as error:
            return [], str(error)
        return [finding for finding in found if finding["level"] == verdict.ERROR and finding["name"] not in accepted], failed


def of_text(text: str, status: int, names: t.Sequence[str] | None) -> tuple[list[verdict.Finding], str]:
    """Return the findings about these GPUs in nvidia-smi's output, and why there are none. Raises ValueError for output that is not its log."""
    if status:
        found = verdict.of_error(f"nvidia-smi failed with status {status}: {text.strip()[:300]}")
        # Without any device the program itself reports what it misses.
        return found, "" if found[0]["level"] == verdict.ERROR or "No devices were found" in text else found[0]["cause"]
    used, missing = verdict.of_named(nvidia_report.parse(text), names)
    return [*missing, *verdict.of_gpus(used, nvswitches=_gpu_driver.count_nvswitches())], ""


def sentence(found: t.Sequence[verdict.Finding]) -> str:
    """Return what forbids the start, and the fix of the first of it."""
    return f"{'; '.join(verdict.said(finding, with_uuid=True) for finding in found)}; fix: {found[0]['fix']}"
