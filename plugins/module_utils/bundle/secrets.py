# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets that a host has, and every form in which text may contain them.

The values are read to be searched for. They are in no message, and only their number is reported.
"""

from __future__ import annotations

import base64
import glob
import os
import re
import typing as t
import urllib.parse

from .. import _green, _masking, _reading, _safe_paths
from ..diagnosis import units

# Secrets shorter than this are not searched for: they would match in ordinary words.
SHORTEST = 4
# Values of environment files that are no secrets, whatever their names: they would hide the same words everywhere.
_ORDINARY = re.compile(r"(?i)true|false|none|null|auto|info|debug|warn(?:ing)?|error|localhost|\d{1,5}(?:\.\d+)?")
_NETRC = re.compile(r"\bpassword\s+(\S+)")
_KEY_FILE = re.compile(r"(?:^LoadCredential=ssl_keyfile:|--ssl-keyfile=)(/[^\s\"]+)", re.MULTILINE)
_HUB_TOKENS = ("/root/.cache/huggingface/token", "/root/.huggingface/token")
_APT = "/etc/apt/auth.conf.d/*"


class Directories(t.NamedTuple):
    """Where the collection keeps secrets: its configuration, its state, and the home of the account that downloads."""

    config: str = "/etc/inferops"
    state: str = "/var/lib/inferops"
    home: str = "/var/lib/inferops"


def read(directories: Directories, managed: t.Sequence[units.Unit], given: t.Iterable[str] = ()) -> list[str]:
    """Return the secrets of a host: of environment files, tokens, netrc, apt, TLS keys, the Hub's token files, saved states, and those given.

    :param given: secrets that the controller knows
    """
    found: list[str] = [secret for secret in given if secret]
    for path in (*sorted(glob.glob(os.path.join(directories.config, "*.env"))), *_green.environment_files()):
        found += of_environment(units.environment_file(_safe_paths.read_text(path)), everything=not path.endswith("/proxy.env"))
    for path in sorted(glob.glob(os.path.join(directories.config, "tokens", "*"))):
        found.append(_safe_paths.read_text(path))
    for path in (os.path.join(directories.config, "netrc"), *sorted(glob.glob(_APT))):
        found += _NETRC.findall(_safe_paths.read_text(path))
    for path in sorted(glob.glob(os.path.join(directories.state, "served", "*.json"))):
        saved = _reading.read_json(path)
        found += [
            secret for name, value in saved.items() if "environment" in name and isinstance(value, str)
            for secret in of_environment(units.environment_file(value), everything=True)
        ]
    for unit in managed:
        found += of_environment(unit.environment, everything=False)
        found += [_safe_paths.read_text(path) for path in _KEY_FILE.findall(unit.text)]
    homes = {directories.home, *(unit.environment.get("HF_HOME", "") for unit in managed)} - {""}
    for path in (*_HUB_TOKENS, *(os.path.join(home, name) for home in sorted(homes) for name in ("token", ".cache/huggingface/token"))):
        found.append(_safe_paths.read_text(path))
    return sorted({secret for secret in found if len(secret.strip()) >= SHORTEST})


def of_environment(variables: t.Mapping[str, str], everything: bool) -> list[str]:
    """Return the secrets among variables: passwords in URLs, values of names of secrets, or with C(everything) all but ordinary words."""
    found = []
    for name, value in variables.items():
        if "://" in value:
            if _masking.has_credentials(value):
                found.append(value)
        elif not name.lower().endswith("_proxy") and (_masking.is_secret_name(name) or (everything and not _ORDINARY.fullmatch(value.strip()))):
            found.append(value)
    return found


def forms(secrets: t.Iterable[str]) -> list[bytes]:
    """Return every form to search for, the longest first: as text, escaped, URL-encoded, and in base64 at any position."""
    found: set[bytes] = set()
    for text in _masking.forms_of(secrets):
        # Lines between the lines of a key in PEM format are the same in all keys.
        if text.startswith("-----") and "\n" not in text:
            continue
        raw = text.encode("utf-8", "surrogateescape")
        found.add(raw)
        found.add(urllib.parse.quote_plus(text).encode())
        found.add(urllib.parse.quote(text, safe="").lower().encode())
        # Shorter ones match by accident: base64 carries six bits in each character.
        if len(raw) >= 6:
            found.update(in_base64(raw))
    mask = _masking.MASK.encode()
    # What the mask itself has cannot be masked.
    return sorted((form for form in found if len(form.strip()) >= SHORTEST and form not in mask), key=len, reverse=True)


def in_base64(raw: bytes) -> set[bytes]:
    """Return the characters of base64 that only these bytes decide, for each of the three positions at which they may start."""
    found = set()
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * before + raw)
            first = (before * 8 + 5) // 6
            last = (before + len(raw)) * 8 // 6
            found.add(text[first:last])
    return found


def clean(data: bytes, searched: t.Sequence[bytes]) -> bytes:
    """Return data with every form of the secrets replaced, then everything that looks like one."""
    mask = _masking.MASK.encode()
    for form in searched:
        if form in data:
            data = data.replace(form, mask)
    text = data.decode("utf-8", "replace")
    return "\n".join(_masking.masked(line) for line in text.split("\n")).encode()


def has_any(data: bytes, searched: t.Sequence[bytes]) -> bool:
    """Whether data has one of the secrets in any form."""
    return any(form in data for form in searched)
