# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates of services' APIs: until when they are valid, in the file and in the copy that the running service has read."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import subprocess
import typing as t

from .. import _reading
from . import texts

_SECONDS = 10
# The beginning of a file that has the certificate; a chain with its root has some 10 kB.
_MOST = 1024 * 1024
# As `openssl x509 -enddate` prints it.
_END = re.compile(r"^notAfter=(.+ GMT)$", re.MULTILINE)


def read(path: str, served: str = "") -> dict[str, t.Any]:
    """Return until when the certificate in a file is valid, and whether the running service has another one.

    :param served: the file that the service reads; the same one, or systemd's copy of it at the service's start
    """
    text = _reading.read_text(path)[:_MOST]
    expires, error = end_of(text) if text else ("", "the file does not exist, or cannot be read")
    found = {"path": path, "expires": expires, "error": error, "served_expires": expires, "renewed": False}
    copy = _reading.read_text(served)[:_MOST] if served and os.path.abspath(served) != os.path.abspath(path) else ""
    if copy and copy != text:
        found.update(served_expires=end_of(copy)[0], renewed=True)
    return found


def end_of(text: str) -> tuple[str, str]:
    """Return the end of a certificate's validity in UTC, ISO 8601, and an error."""
    program = shutil.which("openssl")
    if program is None:
        return "", "openssl is not installed"
    try:
        done = subprocess.run([program, "x509", "-noout", "-enddate"], input=text, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return "", f"openssl gave no answer: {texts.one_line(str(error))}"
    found = _END.search(done.stdout)
    if done.returncode != 0 or found is None:
        return "", "openssl finds no certificate in the file"
    try:
        # Not the locale's names of months: openssl prints those of the C locale.
        month, day, clock, year = found[1].split()[:4]
        moment = datetime.datetime.strptime(f"{_MONTHS.index(month) + 1} {day} {clock} {year}", "%m %d %H:%M:%S %Y")
    except ValueError:
        return "", f"openssl printed a date of another form: {texts.one_line(found[1], 60)}"
    return moment.replace(tzinfo=datetime.timezone.utc).isoformat(timespec="seconds"), ""


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
