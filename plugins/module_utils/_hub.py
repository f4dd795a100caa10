# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a Hugging Face Hub or a mirror of it what a repository holds. Standard library only: it runs on bare hosts."""

from __future__ import annotations

import fnmatch
import http.client
import json
import ssl
import typing as t
import urllib.error
import urllib.parse
import urllib.request

TIMEOUT_SECONDS = 30

# Formats that weights come in; where a repository has safetensors as well, the others are the same weights once more.
SAFETENSORS = ".safetensors"
OTHER_FORMATS = (".bin", ".pth", ".pt", ".ckpt", ".gguf", ".ggml", ".h5", ".msgpack", ".ot", ".onnx", ".onnx_data", ".tflite", ".mlmodel")
OTHER_FOLDERS = ("original/", "metal/", "onnx/", "openvino/", "coreml/")

# What the Hub writes into X-Error-Code when there is no such thing; for a repository it answers 401 then to who has no token.
MISSING = ("RepoNotFound", "RevisionNotFound", "EntryNotFound")


class HubError(Exception):
    """What an endpoint answered instead of what was asked, in words that name the way out.

    C(missing): the endpoint did answer, and has no such repository, revision or file (for this token).
    C(gated): it wants a token, or another one.
    """

    def __init__(self, said: str, missing: bool = False, gated: bool = False) -> None:
        super().__init__(said)
        self.missing, self.gated = missing, gated


class Hub:
    """One endpoint: its address, a token (may be empty), PEM texts to trust besides the host's own store, seconds that an answer may take."""

    def __init__(self, endpoint: str, token: str = "", ca_certificates: t.Sequence[str] = (), timeout: float = TIMEOUT_SECONDS) -> None:
        self.endpoint, self.token, self.timeout = endpoint.rstrip("/"), token, timeout
        context = ssl.create_default_context()
        for certificate in ca_certificates:
            context.load_verify_locations(cadata=certificate)
        # Ansible's own open_url can neither trust further certificates beside the host's nor keep a header from redirects.
        self.opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))

    def open_json(self, url: str) -> tuple[t.Any, str | None]:
        """Return the JSON at an address and the address of the next page, if any. Raises HubError."""
        request = urllib.request.Request(url, headers={"User-Agent": "inferops.gpu"})
        if self.token:
            # Not carried over to another host on a redirect.
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        try:
            with self.opener.open(request, timeout=self.timeout) as answer:
                return json.load(answer), next_page(answer.headers.get("Link", ""))
        except urllib.error.HTTPError as error:
            said = explain(error.code, error.headers.get("X-Error-Message", "") or error.reason, bool(self.token))
            missing = error.code == 404 or error.headers.get("X-Error-Code", "") in MISSING
            raise HubError(said, missing, error.code in (401, 403)) from error
        except (OSError, ValueError, http.client.HTTPException, RecursionError) as error:
            raise HubError(f"no usable answer: {error}") from error

    def read_commit(self, repo: str, revision: str) -> str:
        """Return the commit that a revision of a repository stands for. Raises HubError."""
        answer, _next = self.open_json(f"{self.endpoint}/api/models/{repo}/revision/{urllib.parse.quote(revision, safe='')}")
        commit = answer.get("sha") if isinstance(answer, dict) else None
        if not isinstance(commit, str):
            raise HubError("the answer names no commit: is this a Hugging Face endpoint?")
        return commit

    def read_json_file(self, repo: str, commit: str, path: str) -> t.Any:
        """Return the contents of a JSON file of a commit. Raises HubError."""
        return self.open_json(f"{self.endpoint}/{repo}/resolve/{commit}/{urllib.parse.quote(path)}")[0]

    def read_files(self, repo: str, commit: str, exclude: list[str], include: t.Sequence[str] = ()) -> list[dict[str, t.Any]]:
        """Return the wanted files of a commit: path, size in bytes, and sha256 (large files) or git_sha1 (small ones). Raises HubError."""
        url: str | None = f"{self.endpoint}/api/models/{repo}/tree/{commit}?recursive=true&expand=false"
        files = []
        while url:
            answer, url = self.open_json(url)
            if not isinstance(answer, list):
                raise HubError("the file list is not a list: is this a Hugging Face endpoint?")
            try:
                files += [describe(entry) for entry in answer if entry.get("type") == "file"]
            except (AttributeError, KeyError, TypeError) as error:
                raise HubError("the file list has no paths and sizes: is this a Hugging Face endpoint?") from error
        chosen = set(select([file["path"] for file in files], exclude, include))
        if not chosen:
            raise HubError(f"the repository has no file that is wanted: {len(files)} files, and weights_include and weights_exclude leave none of them")
        return sorted((file for file in files if file["path"] in chosen), key=lambda file: file["path"])


def explain(code: int, said: str, has_token: bool) -> str:
    """Put an HTTP status of the Hub into words. The Hub answers 401 for a repository that is private or not there at all."""
    if code in (401, 403):
        hint = "the token has no access to it: accept its licence on its page, or use another token" if has_token \
            else "it is gated, private, or not there: set weights_token if it is gated"
        return f"{code} {said}: {hint}"
    if code == 404:
        return f"404 {said}: no such repository or revision"
    return f"{code} {said}"


def next_page(link: str) -> str | None:
    """Return the address marked rel="next" in a Link header."""
    for part in link.split(","):
        address, _semicolon, attributes = part.partition(";")
        if 'rel="next"' in attributes:
            return address.strip().strip("<>")
    return None


def select(paths: t.Sequence[str], exclude: t.Sequence[str], include: t.Sequence[str] = ()) -> list[str]:
    """Return the paths that are wanted: by the same patterns and rules as `hf download --include --exclude`, and weights in one format only.

    Without patterns to include, all are. Where there are safetensors at the top, weights in other formats are left out.
    """
    named = [
        path for path in paths
        if (not include or any(fnmatch.fnmatch(path, pattern) for pattern in include)) and not any(fnmatch.fnmatch(path, pattern) for pattern in exclude)
    ]
    if not any(path.endswith(SAFETENSORS) and "/" not in path for path in named):
        return named
    return [path for path in named if not path.endswith(OTHER_FORMATS) and not path.startswith(OTHER_FOLDERS)]


def describe(entry: dict[str, t.Any]) -> dict[str, t.Any]:
    """Turn an entry of the Hub's file tree into path, size and the hash that its bytes can be checked against."""
    lfs = entry.get("lfs")
    if lfs:
        return {"path": entry["path"], "size": lfs["size"], "sha256": lfs["oid"]}
    return {"path": entry["path"], "size": entry["size"], "git_sha1": entry["oid"]}
