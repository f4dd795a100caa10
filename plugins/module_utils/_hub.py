# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the commit and the files of a repository from the Hugging Face Hub or a mirror. Standard library only: it runs on bare hosts.

Answers are not trusted: C(_http_client) limits each answer, C(_hub_answers) validates its contents.
"""

from __future__ import annotations

import re
import typing as t
import urllib.parse

from . import _hub_answers, _http_client
from ._hub_selection import select
from ._masking import masked

TIMEOUT_SECONDS = 30
# Limit for the pages of one file list; a page of the Hub has 1000 files.
MAX_PAGES = 1000

# Values of X-Error-Code for missing things. For a missing repository the Hub answers 401 to a request without a token.
MISSING = ("RepoNotFound", "RevisionNotFound", "EntryNotFound")

_FULL_COMMIT = re.compile(r"[0-9a-f]{40}")
_QUERY = re.compile(r"[A-Za-z0-9%&=_.~+:/@!$'()*,;?-]{1,4096}")


class HubError(Exception):
    """An endpoint's error, with the fix.

    C(missing): the endpoint has answered that there is no such repository, revision or file (for this token).
    C(gated): it requires a token, or a different one. C(unusable): it has sent the file, which has another format than it should.
    """

    def __init__(self, said: str, missing: bool = False, gated: bool = False, unusable: bool = False) -> None:
        super().__init__(masked(said))
        self.missing, self.gated, self.unusable = missing, gated, unusable


class Hub:
    """One endpoint: its URL, a token (may be empty), PEM texts to trust besides the host's own store, seconds that an answer may take."""

    def __init__(self, endpoint: str, token: str = "", ca_certificates: t.Sequence[str] = (), timeout: float = TIMEOUT_SECONDS) -> None:
        self.endpoint, self.token, self.timeout = endpoint.rstrip("/"), token, timeout
        # Whether the token is sent as ModelScope's session cookie too.
        self.session = False
        # Ansible's open_url can neither trust additional certificates nor drop a header on redirects.
        self.client = _http_client.HttpClient(timeout, ca_certificates)

    def open_json(self, url: str) -> tuple[t.Any, str | None]:
        """Return the JSON at a URL, and the URL of the next page from the answer, if any. Raises HubError."""
        answer = self._get(url)
        try:
            return _http_client.parse_json(answer.body), next_page(answer.headers.get("Link", ""))
        except ValueError as error:
            raise HubError(f"no usable answer: it is not JSON: {_http_client.one_line(error, self.token)}", unusable=True) from error

    def _get(self, url: str) -> _http_client.Answer:
        """Return the answer at a URL. Raises HubError."""
        refused = _http_client.token_error(self.token)
        if refused:
            raise HubError(f"no request was sent: {refused} (weights_token)", gated=True)
        try:
            answer = self.client.get(url, self.token, session=self.session)
        except _http_client.HttpError as error:
            raise HubError(f"no usable answer: {error}") from error
        if answer.status != 200:
            raise self._refusal(answer)
        return answer

    def _refusal(self, answer: _http_client.Answer) -> HubError:
        """The error in an answer that reports one."""
        reason = answer.headers.get("X-Error-Message", "") or _http_client.REASONS.get(answer.status, "")
        missing = answer.status == 404 or answer.headers.get("X-Error-Code", "") in MISSING
        return HubError(explain(answer.status, _http_client.one_line(reason, self.token), bool(self.token)), missing, answer.status in (401, 403))

    def read_commit(self, repo: str, revision: str) -> str:
        """Return the commit of a revision of a repository; a commit is its own revision. Raises HubError."""
        answer, _next = self.open_json(f"{self.endpoint}/api/models/{repo}/revision/{urllib.parse.quote(revision, safe='')}")
        try:
            commit = _hub_answers.commit(answer.get("sha") if isinstance(answer, dict) else None)
        except _hub_answers.BadAnswer as error:
            raise HubError(f"the answer has no commit ({error}): is this a Hugging Face endpoint?") from error
        if _FULL_COMMIT.fullmatch(revision) and commit != revision:
            raise HubError(f"the request was for commit {revision}, the answer is for commit {commit}")
        return commit

    def read_json_file(self, repo: str, commit: str, path: str) -> t.Any:
        """Return the contents of a JSON file of a commit. Raises HubError."""
        return self.open_json(self._address(repo, commit, path))[0]

    def read_text_file(self, repo: str, commit: str, path: str) -> str:
        """Return the contents of a text file of a commit. Raises HubError."""
        try:
            return self._get(self._address(repo, commit, path)).body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise HubError("no usable answer: it is not text", unusable=True) from error

    def _address(self, repo: str, commit: str, path: str) -> str:
        return f"{self.endpoint}/{repo}/resolve/{commit}/{urllib.parse.quote(path)}"

    def read_files(self, repo: str, commit: str, exclude: list[str], include: t.Sequence[str] = ()) -> list[dict[str, t.Any]]:
        """Return the wanted files of a commit: path, size in bytes, and sha256 (large files) or git_sha1 (small ones). Raises HubError."""
        entries = self._entries(repo, commit)
        chosen = set(select(list(entries), exclude, include))
        if not chosen:
            raise HubError(f"weights_include and weights_exclude leave none of the repository's {len(entries)} files")
        try:
            return sorted(_hub_answers.files([self._describe(entries[path]) for path in chosen]), key=lambda file: str(file["path"]))
        except _hub_answers.BadAnswer as error:
            raise HubError(f"its file list is not valid: {error}. Exclude a file that is not needed with weights_exclude") from error

    def read_sizes(self, repo: str, commit: str) -> list[tuple[str, int]]:
        """Return path and size of all files of a commit, without invalid entries. Raises HubError."""
        return [(file["path"], file["size"]) for file in self.read_valid(repo, commit)]

    def read_valid(self, repo: str, commit: str) -> list[_hub_answers.File]:
        """Return path, size and hash of all files of a commit, without invalid entries. Raises HubError."""
        found = []
        for entry in self._entries(repo, commit).values():
            try:
                found.append(_hub_answers.file(self._describe(entry)))
            except _hub_answers.BadAnswer:
                # A download reports it as an error, unless its patterns exclude the file.
                continue
        return found

    def _entries(self, repo: str, commit: str) -> dict[str, dict[str, t.Any]]:
        """Return the entries of all files of a commit, by path. Raises HubError."""
        return self._list(f"{self.endpoint}/api/models/{repo}/tree/{commit}?recursive=true&expand=false")

    def _describe(self, entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Convert an entry to path, size and hash, without validation; may raise BadAnswer."""
        return describe(entry)

    def _list(self, address: str) -> dict[str, dict[str, t.Any]]:
        """Return the entries of all files of all pages of a list, by path. Raises HubError."""
        url, asked, entries = address, {address}, {}
        for _page in range(MAX_PAGES):
            answer, following = self.open_json(url)
            if not isinstance(answer, list):
                raise HubError("the file list is not a list: is this a Hugging Face endpoint?")
            for entry in answer:
                if not isinstance(entry, dict):
                    raise HubError("the file list has no paths and sizes: is this a Hugging Face endpoint?")
                if entry.get("type") != "file":
                    continue
                path = entry.get("path")
                if not isinstance(path, str) or len(path) > 4 * _hub_answers.MAX_PATH:
                    raise HubError(f"the file list has an invalid path: {_hub_answers.quoted(path)}")
                if path in entries:
                    raise HubError(f"its file list has {_hub_answers.quoted(path)} twice")
                entries[path] = entry
            if len(entries) > _hub_answers.MAX_FILES:
                raise HubError(f"its file list has more than {_hub_answers.MAX_FILES} files")
            if following is None:
                return entries
            url = next_address(address, following)
            if url in asked:
                raise HubError("its file list links to a page that was read already")
            asked.add(url)
        raise HubError(f"its file list has more than {MAX_PAGES} pages")


def explain(code: int, said: str, has_token: bool) -> str:
    """Describe an HTTP status of the Hub. The Hub answers 401 for a private and for a missing repository."""
    if code in (401, 403):
        hint = "the token has no access to it: accept its license on its page, or use another token" if has_token \
            else "it is gated, private, or does not exist: set weights_token if it is gated"
        return f"{code} {said}: {hint}"
    if code == 404:
        return f"404 {said}: no such repository or revision"
    return f"{code} {said}"


def next_page(link: str) -> str | None:
    """Return the URL with rel="next" in a Link header."""
    for part in link[:8192].split(","):
        address, _semicolon, attributes = part.partition(";")
        if 'rel="next"' in attributes:
            return address.strip().strip("<>")
    return None


def next_address(address: str, following: str) -> str:
    """Return the URL of the next page of a list. Raises HubError.

    Only the query is taken from the server's answer: the next page is at the same endpoint, so neither a token nor a request goes
    elsewhere, and a mirror that passes on the Hub's own header works.
    """
    query = following.partition("#")[0].partition("?")[2]
    if not query or not _QUERY.fullmatch(query):
        raise HubError("its file list has an invalid URL of the next page")
    return f"{address.partition('?')[0]}?{query}"


def describe(entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Convert an entry of the Hub's file tree to path, size and hash, without validation."""
    lfs = entry.get("lfs")
    if isinstance(lfs, dict) and lfs:
        return {"path": entry.get("path"), "size": lfs.get("size"), "sha256": lfs.get("oid")}
    return {"path": entry.get("path"), "size": entry.get("size"), "git_sha1": entry.get("oid")}
