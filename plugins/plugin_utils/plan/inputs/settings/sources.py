# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The source of a release's engine: package indexes, a nightly index, a git repository, or a file."""

from __future__ import annotations

import re

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ansible_collections.inferops.gpu.plugins.module_utils._masking import has_credentials

from ...errors import InvalidValue
from ...values import string

INDEX = "index"
NIGHTLY = "nightly"
GIT = "git"
FILE = "file"

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"sha256=([0-9a-f]{64})")
# Names of git references (git-check-ref-format) without characters that are special in a shell or URL.
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_GIT_SCHEMES = ("https", "http", "ssh", "file")
_ARCHIVES = (".tar.gz", ".zip", ".whl")
_FORMS = (
    "leave it empty for the package indexes; else write nightly, git+https://<host>/<repository>@<commit>, "
    "or the address or path of an sdist or wheel, which ends with .tar.gz, .zip or .whl"
)


@dataclass(frozen=True)
class Source:
    """A source as the user wrote it. C(reference) is a commit, tag or branch of a git repository, C(sha256) the optional checksum of a file."""

    kind: str = INDEX
    address: str = ""
    reference: str = ""
    sha256: str = ""

    @property
    def moves(self) -> bool:
        """Whether the source can become a different vLLM without a change of the setting."""
        if self.kind == GIT:
            return not _COMMIT.fullmatch(self.reference)
        return self.kind == NIGHTLY or (self.kind == FILE and not self.sha256)

    def to_dict(self) -> dict[str, str]:
        """The source for the build."""
        return asdict(self)


def read(value: Any) -> Source:
    """A reader of the setting C(vllm_source)."""
    words = string(value).strip()
    if not words:
        return Source()
    if words == NIGHTLY:
        return Source(NIGHTLY)
    if any(character.isspace() for character in words):
        raise InvalidValue("it contains white space", _FORMS)
    if words.startswith("git+"):
        return _git(words[len("git+"):])
    if words.startswith(("/", "https://", "http://")):
        return _file(words)
    raise InvalidValue("this is not a known kind of source", _FORMS)


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        _port = parts.port
    except ValueError as error:
        # The text of the exception may quote a password that was parsed as a port.
        raise InvalidValue("this is not an address", _FORMS) from error
    if has_credentials(address):
        # They would be in the release's record, which all users can read.
        fix = "write them into host_index_credentials, which builds read from a file of root; or use an ssh key"
        raise InvalidValue("it contains a user or a password", fix)
    return parts


def _git(address: str) -> Source:
    parts = _split(address)
    if parts.scheme not in _GIT_SCHEMES:
        raise InvalidValue("the git address needs https, http, ssh or file", "write git+https://<host>/<repository>@<commit>")
    if parts.scheme != "file" and not parts.hostname:
        raise InvalidValue("the git address has no host", "write git+https://<host>/<repository>@<commit>")
    path, at, reference = parts.path.rpartition("@")
    if not at or not reference:
        raise InvalidValue("the commit is missing", "end it with @<commit>, the 40 hexadecimal digits; a tag or branch can move")
    if not path.strip("/") or parts.query or parts.fragment:
        raise InvalidValue("the git address has no repository, or a query or a fragment", "write git+https://<host>/<repository>@<commit>")
    if not _REFERENCE.fullmatch(reference) or ".." in reference or reference.endswith(("/", ".lock")):
        raise InvalidValue("the text after @ is not a commit, tag or branch", "end it with @<commit>, the 40 hexadecimal digits")
    return Source(GIT, parts._replace(path=path).geturl(), reference)


def _file(address: str) -> Source:
    parts = _split(address)
    if parts.scheme and not parts.hostname:
        raise InvalidValue("the address has no host", _FORMS)
    if not parts.path.endswith(_ARCHIVES):
        raise InvalidValue("this is neither an sdist nor a wheel", _FORMS)
    if ".." in parts.path.split("/"):
        raise InvalidValue("it contains '..'", "write the full path")
    sha256 = ""
    if parts.fragment:
        match = _SHA256.fullmatch(parts.fragment)
        if match is None:
            raise InvalidValue("the text after # is not sha256=<64 hexadecimal digits>", "end it with #sha256=<64 hexadecimal digits>, or leave that out")
        sha256 = match[1]
    return Source(FILE, parts._replace(fragment="").geturl(), sha256=sha256)
