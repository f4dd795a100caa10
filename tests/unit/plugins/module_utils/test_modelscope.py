# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commit and files of a repository, from a ModelScope server over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import modelscope_server
import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _endpoint_kinds, _hub, _modelscope
from ansible_collections.inferops.gpu.plugins.modules import weights_probe
from modelscope_server import COMMIT, OLDER

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "sub/a b+&?.json": b"[]"}
TOKEN = "ms-0123456789"


@pytest.fixture(name="server")
def _server() -> Iterator[modelscope_server.Server]:
    made = modelscope_server.Server("a/b", dict(FILES))
    yield made
    made.close()


def files_of(server: modelscope_server.Server) -> list[dict[str, Any]]:
    return _modelscope.ModelScope(server.endpoint, timeout=5).read_files("a/b", COMMIT, [], [])


@pytest.mark.parametrize("revision", ["master", "v1.0.0", COMMIT])
def test_commit(server: modelscope_server.Server, revision: str) -> None:
    """Branch, tag and commit; in full where the server says only its beginning."""
    assert _modelscope.api_of(server.endpoint, timeout=5).read_commit("a/b", revision) == COMMIT


@pytest.mark.parametrize("latest", [{"Id": COMMIT}, {"Id": COMMIT, "ShortId": COMMIT[:8]}])
def test_commit_in_full(server: modelscope_server.Server, latest: dict[str, str]) -> None:
    server.behave(data=lambda data: {**data, "LatestCommitter": latest})
    assert _modelscope.ModelScope(server.endpoint).read_commit("a/b", "master") == COMMIT


@pytest.mark.parametrize("latest", [None, 5, {}, {"ShortId": 5}, {"ShortId": ""}, {"ShortId": "c3c3c3c3"}, {"ShortId": "a"}, {"ShortId": "../../..aa"}])
def test_commit_of_a_branch_that_is_not_named(server: modelscope_server.Server, latest: Any) -> None:
    server.behave(data=lambda data: {**data, "LatestCommitter": latest})
    with pytest.raises(_hub.HubError, match="does not name the commit of 'master'"):
        _modelscope.ModelScope(server.endpoint).read_commit("a/b", "master")


def test_another_commit_than_the_pinned_one(server: modelscope_server.Server) -> None:
    server.behave(data=lambda data: {**data, "LatestCommitter": {"ShortId": OLDER[:8]}})
    with pytest.raises(_hub.HubError, match=f"for commit {COMMIT}, the answer is for commit {OLDER[:8]}"):
        _modelscope.ModelScope(server.endpoint).read_commit("a/b", COMMIT)


@pytest.mark.parametrize("revision", ["main", "c" * 40])
def test_revision_of_the_hub(server: modelscope_server.Server, revision: str) -> None:
    """An unknown revision is a success without files. The message says that the Hub's commits are not there."""
    with pytest.raises(_hub.HubError, match="ModelScope has its own commits and tags") as caught:
        _modelscope.ModelScope(server.endpoint).read_commit("a/b", revision)
    assert caught.value.missing


def test_files(server: modelscope_server.Server) -> None:
    """Folders are left out; each file has the sha256 of the list."""
    assert files_of(server) == [{"path": path, "size": len(text), "sha256": hashlib.sha256(text).hexdigest()} for path, text in sorted(FILES.items())]
    api = _modelscope.ModelScope(server.endpoint)
    assert api.read_json_file("a/b", COMMIT, "sub/a b+&?.json") == [] and api.read_text_file("a/b", COMMIT, "model.safetensors") == "weights"


def row(**changes: Any) -> dict[str, Any]:
    return {"Path": "x.json", "Type": "blob", "Size": 2, "Sha256": "0" * 64, **changes}


@pytest.mark.parametrize(
    ("added", "said"),
    [
        *((row(Path=path), "is not a valid file name") for path in ("../x", "/etc/passwd", "a/../../x", "a//b", "-rf", "a\nb", "a\\b", "x/.git/../y", "x/.")),
        *((row(Path=path), "invalid path") for path in (5, None, ["x"], "x" * 5000)),
        *((row(Size=size), "is not a size") for size in (-1, True, "2", None, 2**60, 2.5)),
        *((row(Sha256=text), "is not a sha256") for text in ("0" * 63, "G" * 64, 5, "0" * 64 + "\n")),
        *((row(Sha256=text), "has no hash") for text in ("", None)),
        (row(Size=0), "has no size"),
        (row(Path="config.json"), "twice"),
        (row(Path="config.json/x"), "config.json"),
        (5, "no paths and sizes"),
    ],
)
def test_hostile_entries(server: modelscope_server.Server, added: Any, said: str) -> None:
    server.behave(data=lambda data: {**data, "Files": [*data["Files"], added]})
    with pytest.raises(_hub.HubError, match=said):
        files_of(server)


def test_entries_that_are_no_files(server: modelscope_server.Server) -> None:
    """A submodule, or what a later server may list, is not fetched; an empty file is one."""
    empty = row(Path="empty", Size=0, Sha256=hashlib.sha256(b"").hexdigest())
    server.behave(data=lambda data: {**data, "Files": [*data["Files"], row(Path="../sub", Type="commit"), row(Path="../link", Type=5), empty]})
    assert [file["path"] for file in files_of(server)] == ["config.json", "empty", "model.safetensors", "sub/a b+&?.json"]


@pytest.mark.parametrize(
    ("body", "said", "missing", "gated"),
    [
        ([], "is this a ModelScope server", False, False),
        ({"sha": COMMIT}, "is this a ModelScope server", False, False),
        ({"Code": 200, "Success": True}, "no file list", False, False),
        ({"Code": 200, "Success": True, "Data": {"Files": {"x": 1}}}, "no file list", False, False),
        ({"Code": 200, "Success": True, "Data": []}, "no file list", False, False),
        ({"Code": 200, "Success": "no", "Data": {"Files": [5]}}, "Code 200", False, False),
        ({"Code": 10010205001, "Success": False, "Message": "bad\n\x1b[31mthing"}, "bad .31mthing", False, False),
        ({"Code": 404, "Success": False, "Message": "gone"}, "404 gone", True, False),
        ({"Code": 403, "Success": False, "Message": {"a": 1}}, "gated, private, or does not exist", False, True),
        ({"Code": True, "Success": True, "Data": {"Files": []}}, "an error", False, False),
        ({"Code": 200, "Success": True, "Data": {"Files": []}}, "no files at revision", True, False),
    ],
)
def test_envelopes(server: modelscope_server.Server, body: Any, said: str, missing: bool, gated: bool) -> None:
    server.behave(body=lambda _found: body)
    with pytest.raises(_hub.HubError, match=said) as caught:
        _modelscope.ModelScope(server.endpoint).read_commit("a/b", COMMIT)
    assert (caught.value.missing, caught.value.gated) == (missing, gated) and str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("raw", "said"), [((200, b"<html>"), "not JSON"), ((200, b"[" * 10**5), "not JSON"), ((500, b"\xff"), "500 Internal"), ((429, b"[]"), "429 Too Many"),
                      ((401, b'{"Code":10010103009,"Message":"AccessToken is invalid"}'), "401 AccessToken is invalid"), ((200, b" " * (17 << 20)), "longer than")],
)
def test_answers_that_are_none(server: modelscope_server.Server, raw: tuple[int, bytes], said: str) -> None:
    server.behave(raw=raw)
    with pytest.raises(_hub.HubError, match=said):
        files_of(server)


def test_missing_repository(server: modelscope_server.Server) -> None:
    with pytest.raises(_hub.HubError, match="404 record not found") as caught:
        _modelscope.ModelScope(server.endpoint).read_commit("a/other", "master")
    assert caught.value.missing


@pytest.mark.parametrize(("entries", "cut"), [(2999, False), (3000, True)])
def test_list_that_may_be_cut_off(server: modelscope_server.Server, entries: int, cut: bool) -> None:
    """The server ends a list after 3000 entries and does not say so."""
    server.behave(data=lambda data: {**data, "Files": [row(Path=f"{number}.json") for number in range(entries)]})
    if cut:
        with pytest.raises(_hub.HubError, match="may be incomplete"):
            files_of(server)
    else:
        assert len(files_of(server)) == entries


def test_token(server: modelscope_server.Server) -> None:
    """As header and as cookie, to this server and not to its storage; an error does not quote it."""
    server.behave(token=TOKEN)
    with pytest.raises(_hub.HubError, match="403 no access: it is gated"):
        files_of(server)
    api = _modelscope.ModelScope(server.endpoint, TOKEN)
    assert len(api.read_files("a/b", COMMIT, [], [])) == 3 and api.read_text_file("a/b", COMMIT, "model.safetensors") == "weights"
    assert server.stored and all("Cookie" not in headers and "Authorization" not in headers for _path, headers in server.stored)
    server.behave(token=None, raw=(500, f'{{"Message": "you are {TOKEN}"}}'.encode()))
    with pytest.raises(_hub.HubError) as caught:
        api.read_commit("a/b", COMMIT)
    assert TOKEN not in str(caught.value) and "hidden" in str(caught.value)


def test_hub_gets_no_cookie(server: modelscope_server.Server) -> None:
    with pytest.raises(_hub.HubError):
        _modelscope.api_of(server.url, TOKEN, timeout=5).read_commit("a/b", COMMIT)
    assert "Cookie" not in server.requests[-1][1] and server.requests[-1][0].startswith("/api/models/")


def test_addresses() -> None:
    """Nothing in a name leads out of the query."""
    found = _endpoint_kinds.file_address("modelscope+https://m/", "a/b", "v&1", "x y/ü&Revision=z#.json")
    assert found == "https://m/api/v1/models/a/b/repo?Revision=v%261&FilePath=x+y%2F%C3%BC%26Revision%3Dz%23.json"
    assert _endpoint_kinds.file_address("https://h/", "a/b", "c", "x y.json") == "https://h/a/b/resolve/c/x%20y.json"


def asked(*endpoints: str, **changes: Any) -> dict[str, Any]:
    return {"endpoints": list(endpoints), "token": "", "token_endpoints": [], "ca_certificates": [], "repo": "a/b", "revision": COMMIT,
            "exclude": [], "include": [], **changes}


class HubServer:
    """What a Hub says of the repository, without a server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, files: list[dict[str, Any]] | None) -> None:
        self.urls: list[str] = []
        real = _hub.Hub.open_json

        def answer(api: _hub.Hub, url: str) -> Any:
            if not url.startswith("http://hub"):
                return real(api, url)
            self.urls.append(url)
            if files is None:
                raise _hub.HubError("404: no such repository or revision", missing=True)
            return ({"sha": COMMIT}, None) if "/revision/" in url else (files, None)

        monkeypatch.setattr(_hub.Hub, "open_json", answer)


def lfs(path: str, text: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": 130, "lfs": {"oid": hashlib.sha256(text).hexdigest(), "size": len(text)}}


HUB_FILES = [
    {"type": "file", "path": "config.json", "size": 2, "oid": "1" * 40}, {"type": "file", "path": "README.md", "size": 9, "oid": "2" * 40},
    {"type": "file", "path": "sub/a b+&?.json", "size": 3, "oid": "3" * 40}, lfs("model.safetensors", FILES["model.safetensors"]), lfs("model-2.safetensors", b"x"),
]


def test_hashes_are_the_hubs_wherever_it_stands(server: modelscope_server.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """ModelScope is first in the list, and only gives contents: of large files those with the Hub's sha256, of small ones those with its size."""
    HubServer(monkeypatch, HUB_FILES)
    # Whether it says which commit the branch is does not matter.
    server.behave(data=lambda data: {**data, "LatestCommitter": None})
    wanted = asked(server.endpoint, "http://hub")
    named_by, commit, files = weights_probe.ask(wanted)
    assert (named_by, commit) == ("http://hub", COMMIT) and {"git_sha1", "sha256"} <= {key for file in files for key in file}
    equal, problems = weights_probe.ask_modelscope(wanted, named_by, files)
    assert equal == {server.endpoint: {"revision": "master", "files": ["config.json", "model.safetensors"]}} and problems == []


def test_another_sha256_at_modelscope(server: modelscope_server.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    HubServer(monkeypatch, HUB_FILES)
    server.files["model.safetensors"] = b"WEIGHTS"
    wanted = asked(server.endpoint, "http://hub")
    equal, _problems = weights_probe.ask_modelscope(wanted, *weights_probe.ask(wanted)[::2])
    assert equal[server.endpoint]["files"] == ["config.json"]


def test_modelscope_that_fails_beside_the_hub(server: modelscope_server.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The download goes on without it, with a warning."""
    HubServer(monkeypatch, HUB_FILES)
    server.behave(raw=(503, b""))
    wanted = asked("http://hub", server.endpoint)
    equal, (problem,) = weights_probe.ask_modelscope(wanted, *weights_probe.ask(wanted)[::2])
    assert equal == {} and problem.startswith(f"{server.endpoint} is not used for a/b: it answered 503")


def test_commit_of_modelscope_in_a_mixed_list(server: modelscope_server.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub does not have it, so ModelScope names the hashes; nothing is compared with another list."""
    mirror = HubServer(monkeypatch, None)
    wanted = asked("http://hub", server.endpoint)
    named_by, commit, files = weights_probe.ask(wanted)
    assert (named_by, commit, len(files)) == (server.endpoint, COMMIT, 3) and mirror.urls
    assert weights_probe.ask_modelscope(wanted, named_by, files) == ({}, [])


def test_commit_of_the_hub_is_not_replaced(server: modelscope_server.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub that is not reachable must not lead to other files under its commit."""
    HubServer(monkeypatch, None)
    with pytest.raises(_hub.HubError, match="http://hub answered 404.*ModelScope has its own commits"):
        weights_probe.ask(asked("http://hub", server.endpoint, revision="c" * 40))


def test_token_of_one_kind(server: modelscope_server.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub's token is not sent to ModelScope, whatever is asked of it; and the page of a gated repository is ModelScope's own."""
    HubServer(monkeypatch, HUB_FILES)
    wanted = asked(server.endpoint, "http://hub", token=TOKEN, token_endpoints=["http://hub"])
    weights_probe.ask_modelscope(wanted, *weights_probe.ask(wanted)[::2])
    assert server.requests and all(TOKEN not in str(headers) for _path, headers in server.requests)
    server.behave(token="another")
    with pytest.raises(weights_probe.ProbeError, match="the token was not sent there") as caught:
        weights_probe.ask(asked(server.endpoint, token=TOKEN))
    assert caught.value.page == f"{server.url}/models/a/b" and caught.value.gated
