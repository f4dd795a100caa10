# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The support bundle: secrets are found, replaced in every form, and searched for in the finished archive."""

from __future__ import annotations

import base64
import json
import os
import tarfile
import time
import urllib.parse
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _green, bundle
from ansible_collections.inferops.gpu.plugins.module_utils.bundle import archive, contents, secrets
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.commands import Unread
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.units import Unit

SECRET = "s3cr3t/with+signs=\"and quotes"
FORMS = {
    "plain": SECRET.encode(),
    "URL": urllib.parse.quote(SECRET, safe="").encode(),
    "form": urllib.parse.quote_plus(SECRET).encode(),
    "JSON": json.dumps(SECRET)[1:-1].encode(),
    "repr": repr(SECRET.encode())[2:-1].encode(),
    **{f"base64 at {before}": base64.b64encode(b"x" * before + SECRET.encode() + b"after") for before in range(4)},
    **{f"URL-safe base64 at {before}": base64.urlsafe_b64encode(b"x" * before + SECRET.encode() + b"after") for before in range(4)},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    searched = secrets.forms([SECRET])
    data = b"before " + FORMS[form] + b" after"
    assert secrets.has_any(data, searched)
    cleaned = secrets.clean(data, searched)
    assert not secrets.has_any(cleaned, searched) and b"(hidden)" in cleaned and cleaned.startswith(b"before ") and cleaned.endswith(b" after")


def test_other_text_stays() -> None:
    text = "A page about s3cr3t things\nPort 8001\n".encode()
    assert secrets.clean(text, secrets.forms([SECRET, "sk-lab-key-9f2c41"])) == text
    assert secrets.forms(["", "a", "abc"]) == []
    # The mask has it, so that it would be found in each file that is clean.
    assert secrets.forms(["hidden"]) == [form for form in secrets.forms(["hidden"]) if form != b"hidden"]


def test_secrets_of_unknown_value_are_masked_by_their_form() -> None:
    text = b"https://user:unknown@x.example/ and Authorization: Bearer abcdefgh\nHF_TOKEN hf_abcdefghijkl\n"
    cleaned = secrets.clean(text, [])
    assert b"unknown" not in cleaned and b"abcdefgh" not in cleaned and cleaned.count(b"\n") == 2


ENVIRONMENTS = [
    ({"VLLM_API_KEY": "sk-1234"}, False, ["sk-1234"]),
    ({"HF_TOKEN": "abcd", "AWS_SECRET_ACCESS_KEY": "efgh", "PASSWORD": "ijkl"}, False, ["abcd", "efgh", "ijkl"]),
    ({"HOME": "/var/lib/x", "VLLM_PORT": "80"}, False, []),
    ({"LAB": "of the inventory's secret_environment"}, True, ["of the inventory's secret_environment"]),
    ({"DEBUG": "true", "LEVEL": "info", "COUNT": "12"}, True, []),
    ({"http_proxy": "http://u:pw12@proxy:1", "no_proxy": "localhost,10.0.0.1", "NO_PROXY": "x"}, True, ["http://u:pw12@proxy:1"]),
    ({"https_proxy": "http://proxy:1"}, True, []),
]


@pytest.mark.parametrize(("variables", "everything", "expected"), ENVIRONMENTS)
def test_environments(variables: dict[str, str], everything: bool, expected: list[str]) -> None:
    assert secrets.of_environment(variables, everything) == expected


def test_all_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment files, also that of a new engine beside the service, tokens, netrc, saved states, keys of TLS, tokens of the Hub, and what the controller knows."""
    config, state, home = tmp_path / "etc", tmp_path / "state", tmp_path / "home"
    for folder in (config / "tokens", state / "served", home / ".cache/huggingface"):
        folder.mkdir(parents=True)
    (config / "q.env").write_text("# Managed\nVLLM_API_KEY=of-the-file\nOWN='of the user'\n")
    monkeypatch.setattr(_green, "_RECORDS", str(tmp_path))
    (tmp_path / "inferops-green-q.env").write_text("VLLM_API_KEY=of-the-update\n")
    (config / "proxy.env").write_text("http_proxy=http://u:of-proxy@proxy:1\nno_proxy=localhost,internal.example\n")
    (config / "tokens" / "q").write_text("of-the-token\n")
    (config / "netrc").write_text("machine index.example login me password of-netrc\n")
    (state / "served" / "q.json").write_text(json.dumps({"environment_text": "VLLM_API_KEY=of-the-past\n", "unit_text": "[Unit]"}))
    (home / ".cache/huggingface/token").write_text("hf_of_the_hub")
    key = tmp_path / "own.key"
    key.write_text("-----BEGIN PRIVATE KEY-----\nbGluZSBvbmU=\nbGluZSB0d28=\n-----END PRIVATE KEY-----\n")
    unit = Unit("vllm-q.service", "q", 1, None, f"LoadCredential=ssl_keyfile:{key}\n", {}, {"MY_TOKEN": "of-the-unit", "HOME": "/x"})
    found = secrets.read(secrets.Directories(str(config), str(state), str(home)), [unit], ["of-the-controller"])
    searched = secrets.forms(found)
    for text in (
        "of-the-file", "of-the-update", "of the user", "of-proxy", "of-the-token", "of-netrc", "of-the-past", "hf_of_the_hub", "of-the-unit", "of-the-controller",
        "bGluZSBvbmU=", "bGluZSB0d28=",
    ):
        assert secrets.has_any(f"log: {text}.".encode(), searched), text
    assert not secrets.has_any(b"internal.example -----BEGIN PRIVATE KEY----- machine me /x", searched)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "x.tar.gz")


def texts(path: str) -> dict[str, str]:
    with tarfile.open(path) as opened:
        found = {}
        for member in opened:
            file = opened.extractfile(member)
            assert file is not None and member.mode == 0o600
            found[member.name] = file.read().decode()
    return found


def test_an_archive(path: str) -> None:
    members = [archive.Member("a.txt", f"one {SECRET}".encode()), archive.Member(f"{SECRET}.txt", b"x" * 50), archive.Member("large.txt", b"y" * 100)]
    written = archive.write(path, "gpu1", members, {"b.txt": f"it said {SECRET}"}, secrets.forms([SECRET]), 100)
    found = texts(path)
    assert list(found) == ["gpu1/a.txt", "gpu1/(hidden).txt", "gpu1/MANIFEST.txt"] and found["gpu1/a.txt"] == "one (hidden)"
    assert written["members"] == 3 and list(written["left_out"]) == ["large.txt"] and written["sha256"] == archive.digest(path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    manifest = found["gpu1/MANIFEST.txt"]
    assert "        12  a.txt" in manifest and "not read: b.txt: it said (hidden)" in manifest and "not read: large.txt: 100 bytes" in manifest


def test_a_secret_that_is_left_removes_the_archive(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "clean", lambda data, searched: data)
    with pytest.raises(archive.SecretFound, match="^x/a.txt$"):
        archive.write(path, "x", [archive.Member("a.txt", SECRET.encode())], {}, secrets.forms([SECRET]), 1000)
    assert not os.path.exists(path)
    with pytest.raises(archive.SecretFound, match="the name of a member"):
        archive.write(path, "x", [archive.Member("own-key-1234", b"")], {}, secrets.forms(["own-key-1234"]), 1000)
    assert not os.path.exists(path)


def test_short_numbers_do_not_match_headers(path: str) -> None:
    """A tar header has many zeros."""
    assert archive.write(path, "x", [archive.Member("a.txt", b"pin 0000")], {}, secrets.forms(["0000"]), 1000)["members"] == 2
    assert texts(path)["x/a.txt"] == "pin (hidden)"


def test_an_interrupted_archive_is_removed(path: str) -> None:
    def members() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archive.write(path, "x", (members() for _one in [1]), {}, [], 1000)  # type: ignore[misc]
    assert not os.path.exists(path)


def test_directories_of_interrupted_runs_are_removed(tmp_path: Path) -> None:
    old, recent, link = tmp_path / "inferops-bundle-old", tmp_path / "inferops-bundle-recent", tmp_path / "inferops-bundle-link"
    for folder in (old, recent, tmp_path / "precious"):
        folder.mkdir()
    link.symlink_to(tmp_path / "precious")
    os.utime(old, (time.time() - 9999,) * 2)
    os.utime(tmp_path / "precious", (time.time() - 9999,) * 2)
    made = Path(archive.make_folder(str(tmp_path)))
    assert made.stat().st_mode & 0o777 == 0o700 and not old.exists() and recent.exists() and (tmp_path / "precious").exists()


def unreadable() -> str:
    raise Unread("it is not installed")


def hangs() -> str:
    time.sleep(60)
    return ""


def test_what_cannot_be_read_is_said() -> None:
    found, missing = bundle.collect([("a", lambda: "text\udcff"), ("b", unreadable), ("c", hangs), ("d", lambda: "end")], 1)
    assert found == {"a": "text\N{REPLACEMENT CHARACTER}".encode(), "d": b"end"}
    assert missing == {"b": "it is not installed", "c": "it did not answer within 1 s"}


def test_the_end_of_a_long_text_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "LONGEST", 10)
    found, _missing = bundle.collect([("a", lambda: "x" * 50 + "the end...")])
    assert found["a"].decode().splitlines() == ["… (50 characters before this are left out)", "the end..."]


def test_without_the_units_there_is_no_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their secrets would be unknown."""
    monkeypatch.setattr(bundle.units, "read", unreadable)
    wanted = bundle.Wanted("x", {}, [], secrets.Directories(*[str(tmp_path)] * 3), "/x", "/y", 10, 1000)
    with pytest.raises(Unread, match="their secrets are unknown"):
        bundle.make(wanted, str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_link_in_a_log_directory_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "shadow"
    secret.write_text("root:x")
    folder = tmp_path / "failures" / "vllm-q" / "2026"
    folder.mkdir(parents=True)
    (folder / "output.log").symlink_to(secret)
    items = dict(contents.of_unit("vllm-q.service", 10, str(tmp_path / "failures")))
    with pytest.raises(Unread):
        items["failures/vllm-q/2026/output.log"]()


@pytest.mark.parametrize(("name", "expected"), [("2026-01-01", "2026-01-01"), ("../../etc", "_.._etc"), ("a\nb", "a_b"), ("...", "_"), ("x" * 300, "x" * 100)])
def test_names_of_members(name: str, expected: str) -> None:
    assert contents.safe(name) == expected


def test_keys_among_kernel_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "net.ipv4.tcp_fastopen_key = 1-2-3\nnet.ipv6.conf.all.stable_secret = x\nnet.core.somaxconn = 5\n"
    monkeypatch.setattr(contents, "output", lambda *command, **options: said)
    assert contents.parameters() == "(left out)\n(left out)\nnet.core.somaxconn = 5\n"


def test_an_environment_file_shows_names_only(tmp_path: Path) -> None:
    path = tmp_path / "q.env"
    path.write_text("# x\nVLLM_API_KEY=sk-1\nB='two words'\n")
    assert contents.environment_names(str(path)) == "VLLM_API_KEY=(hidden)\nB=(hidden)\n"
