# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the commit and the files of a repository from a ModelScope server. Standard library only: it runs on bare hosts.

The requests are those of the official client, modelscope_hub 0.5.1 of PyPI (_legacy_api.py), which modelscope 1.40.2 uses. Answers are JSON,
C({"Code": 200, "Success": true, "Message": text, "Data": {"Files": [...], "LatestCommitter": {...}}}). An entry of C(Files) has C(Path), C(Type) (blob or
tree), C(Size) in bytes, C(Sha256) and C(Revision), the commit that last changed it. Answers are not trusted: see C(_hub).
"""

from __future__ import annotations

import hashlib
import re
import typing as t
import urllib.parse

from . import _hub_answers, _http_client
from ._endpoint_kinds import DEFAULT_BRANCH, base_of, file_address, is_modelscope
from ._hub import TIMEOUT_SECONDS, Hub, HubError, explain

# The server cuts a file list off after this many entries, without saying so (modelscope_hub 0.5.1, constants.py, REPO_FILES_TRUNCATION_LIMIT).
LISTED = 3000
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BEGINNING = re.compile(r"[0-9a-f]{6,40}")
_EMPTY = hashlib.sha256(b"").hexdigest()


class ModelScope(Hub):
    """One ModelScope server, with the methods of C(Hub). Its commits are its own: a commit of the Hub does not exist there."""

    def __init__(self, endpoint: str, token: str = "", ca_certificates: t.Sequence[str] = (), timeout: float = TIMEOUT_SECONDS) -> None:
        super().__init__(base_of(endpoint), token, ca_certificates, timeout)
        self.named = endpoint
        self.session = True

    def read_commit(self, repo: str, revision: str) -> str:
        """Return the commit of a revision: a commit, a tag or a branch. Raises HubError."""
        data = self._data(repo, revision)
        latest = data.get("LatestCommitter")
        latest = latest if isinstance(latest, dict) else {}
        # Id is often empty; ShortId is the beginning of the commit, which some entry of the list has in full.
        said = latest.get("Id") or latest.get("ShortId") or ""
        known = isinstance(said, str) and _BEGINNING.fullmatch(said) is not None
        if _COMMIT.fullmatch(revision):
            if known and not revision.startswith(said):
                raise HubError(f"the request was for commit {revision}, the answer is for commit {said}")
            return revision
        named = {entry.get("Revision") for entry in data["Files"] if isinstance(entry, dict)} | {said}
        commits = [one for one in named if known and isinstance(one, str) and _COMMIT.fullmatch(one) and one.startswith(said)]
        if len(commits) != 1:
            raise HubError(f"its answer does not name the commit of {_hub_answers.quoted(revision)}: set revision to a commit of ModelScope")
        return commits[0]

    def _data(self, repo: str, revision: str) -> dict[str, t.Any]:
        """Return C(Data) of the answer about a revision's files; its C(Files) is a list that is neither empty nor cut off. Raises HubError."""
        query = urllib.parse.urlencode({"Revision": revision, "Recursive": "True"})
        answer = self.open_json(f"{self.endpoint}/api/v1/models/{repo}/repo/files?{query}")[0]
        if not isinstance(answer, dict) or "Code" not in answer:
            raise HubError("the answer has no Code: is this a ModelScope server?")
        if answer["Code"] != 200 or answer.get("Success") is not True:
            raise self._error(answer, 200)
        data = answer.get("Data")
        if not isinstance(data, dict) or not isinstance(data.get("Files"), (list, type(None))):
            raise HubError("the answer has no file list: is this a ModelScope server?")
        if not data.get("Files"):
            # Its answer about a revision that does not exist: success without files.
            raise HubError(
                f"no files at revision {_hub_answers.quoted(revision)}: ModelScope has its own commits and tags, and its default branch is {DEFAULT_BRANCH}",
                missing=True,
            )
        if len(data["Files"]) >= LISTED:
            raise HubError(f"its file list has {len(data['Files'])} entries, and ModelScope sends no more than {LISTED}: it may be incomplete")
        return t.cast("dict[str, t.Any]", data)

    def _refusal(self, answer: _http_client.Answer) -> HubError:
        try:
            body = _http_client.parse_json(answer.body)
        except ValueError:
            body = {}
        return self._error(body if isinstance(body, dict) else {}, answer.status)

    def _error(self, body: dict[str, t.Any], status: int) -> HubError:
        """The error in an answer: the HTTP status, or C(Code) where that reports success. C(Code) may be a number of ModelScope's own."""
        code = body.get("Code")
        if status == 200:
            status = code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600 else 0
        said = _http_client.one_line(body.get("Message") or _http_client.REASONS.get(status, "") or f"an error, Code {code}", self.token)
        return HubError(explain(status, said, bool(self.token)) if status else said, status == 404, status in (401, 403))

    def _address(self, repo: str, commit: str, path: str) -> str:
        return file_address(self.named, repo, commit, path)

    def _entries(self, repo: str, commit: str) -> dict[str, dict[str, t.Any]]:
        entries: dict[str, dict[str, t.Any]] = {}
        for entry in self._data(repo, commit)["Files"]:
            if not isinstance(entry, dict):
                raise HubError("the file list has no paths and sizes: is this a ModelScope server?")
            if entry.get("Type", "blob") != "blob":
                continue
            path = entry.get("Path")
            if not isinstance(path, str) or len(path) > 4 * _hub_answers.MAX_PATH:
                raise HubError(f"the file list has an invalid path: {_hub_answers.quoted(path)}")
            if path in entries:
                raise HubError(f"its file list has {_hub_answers.quoted(path)} twice")
            entries[path] = entry
        return entries

    def _describe(self, entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        size, sha256 = entry.get("Size"), entry.get("Sha256")
        if size == 0 and sha256 not in (None, "", _EMPTY):
            # It lists 0 for an unknown size as well (modelscope_hub 0.5.1, _download.py).
            raise _hub_answers.BadAnswer(f"{_hub_answers.quoted(entry.get('Path'))} has no size")
        return {"path": entry.get("Path"), "size": size, "sha256": sha256 or None}


def api_of(endpoint: str, token: str = "", ca_certificates: t.Sequence[str] = (), timeout: float = TIMEOUT_SECONDS) -> Hub:
    """Return the client for an endpoint of either kind."""
    return (ModelScope if is_modelscope(endpoint) else Hub)(endpoint, token, ca_certificates, timeout)


def equal_files(named: t.Sequence[_hub_answers.File], listed: t.Sequence[_hub_answers.File]) -> list[str]:
    """Return the paths of the files whose contents a ModelScope server has, by its own list.

    :param named: the wanted files, with the hashes of another endpoint
    :param listed: ModelScope's files

    Of a small file the Hub names only git's hash and ModelScope only the sha256, so the size decides; the hash is verified after the download.
    """
    there = {file["path"]: file for file in listed}
    return [file["path"] for file in named if file["path"] in there and _is_equal(file, there[file["path"]])]


def _is_equal(file: _hub_answers.File, other: _hub_answers.File) -> bool:
    return bool(file["size"] == other["size"] and file.get("sha256", other["sha256"]) == other["sha256"])
