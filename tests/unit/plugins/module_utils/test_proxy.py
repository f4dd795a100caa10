# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site's proxy: what is written where, and real programs going through a proxy that asks for a password."""

from __future__ import annotations

import base64
import http.client
import http.server
import os
import shutil
import stat
import subprocess
import threading

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _hub, _proxy
from ansible_collections.inferops.gpu.plugins.modules import host_proxy

PASSWORD = "p%40/:ss@word"
NAMES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "ALL_PROXY")


class Gateway(http.server.BaseHTTPRequestHandler):
    """Answers for hosts that nobody can resolve, to who says user and password, and writes down who was asked for."""

    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        said = self.headers.get("Proxy-Authorization", "")
        self.server.asked.append((self.path, said))  # type: ignore[attr-defined]
        allowed = said == "Basic " + base64.b64encode(f"gpu:{PASSWORD}".encode()).decode()
        self.send_response(200 if allowed else 407)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if allowed:
            self.wfile.write(b'{"sha": "0123456789abcdef0123456789abcdef01234567"}')

    do_CONNECT = do_GET

    def log_message(self, *_arguments: Any) -> None:
        """Says nothing."""


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A proxy on loopback; the environment of the tests has none."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def proxy_at(server: Any, *no_proxy: str, username: str = "gpu") -> dict[str, Any]:
    """What the plan says of it."""
    address = f"http://127.0.0.1:{server.server_port}"
    return {"http": address, "https": address, "no_proxy": ["localhost", *no_proxy], "username": username}


def test_curl_goes_through_it(gateway: Any) -> None:
    environment = {"PATH": os.environ["PATH"], **_proxy.environment(proxy_at(gateway), PASSWORD)}
    done = subprocess.run(["curl", "-sS", "http://hub.invalid/a"], env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert "sha" in done.stdout and gateway.asked[0][0] == "http://hub.invalid/a"


def test_curl_asks_it_for_a_way_to_https(gateway: Any) -> None:
    environment = {"PATH": os.environ["PATH"], **_proxy.environment(proxy_at(gateway), PASSWORD)}
    subprocess.run(["curl", "-sS", "https://hub.invalid/a"], env=environment, capture_output=True, check=False, timeout=30)
    assert [path for path, _said in gateway.asked] == ["hub.invalid:443"]


def test_curl_goes_past_it_where_it_should(gateway: Any) -> None:
    """What no_proxy names is asked by itself: here nobody is there."""
    environment = {"PATH": os.environ["PATH"], **_proxy.environment(proxy_at(gateway, "hub.invalid", "127.0.0.2"), PASSWORD)}
    for place in ("http://hub.invalid/", "http://127.0.0.2:9/"):
        done = subprocess.run(["curl", "-sS", "--max-time", "5", place], env=environment, capture_output=True, check=False, timeout=30)
        assert done.returncode != 0
    assert gateway.asked == []


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_git_goes_through_it(gateway: Any) -> None:
    environment = {"PATH": os.environ["PATH"], "GIT_TERMINAL_PROMPT": "0", **_proxy.environment(proxy_at(gateway), PASSWORD)}
    subprocess.run(["git", "ls-remote", "http://git.invalid/repository"], env=environment, capture_output=True, check=False, timeout=30)
    assert gateway.asked and gateway.asked[0][0].startswith("http://git.invalid/")


def test_the_hub_is_asked_through_it(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _proxy.environment(proxy_at(gateway), PASSWORD).items():
        monkeypatch.setenv(name, value)
    assert _hub.Hub("http://hub.invalid").read_commit("org/model", "main").startswith("0123")
    assert gateway.asked[0][0].startswith("http://hub.invalid/api/models/org/model")


def test_a_proxy_is_used_for_a_while(gateway: Any) -> None:
    with _proxy.used(proxy_at(gateway), PASSWORD):
        assert os.environ["https_proxy"].endswith(f"@127.0.0.1:{gateway.server_port}")
    assert not any(os.environ.get(name) for name in NAMES)


def test_the_controllers_own_goes_before_it(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://own.example:1")
    with _proxy.used(proxy_at(gateway), PASSWORD):
        assert os.environ["https_proxy"] == "http://own.example:1" and "HTTP_PROXY" not in os.environ


def test_no_proxy_is_nothing() -> None:
    assert _proxy.environment(None) == {} and _proxy.environment({}) == {}


def module_of(tmp_path: Path, proxy: dict[str, Any], password: str = PASSWORD) -> Any:
    return SimpleNamespace(params={"proxy": proxy, "password": password, "environment_file": str(tmp_path / "etc/proxy.env"), "name": "inferops"})


def write_files(tmp_path: Path, proxy: dict[str, Any], password: str = PASSWORD) -> list[str]:
    """Do what the module does, and return the files that it changed."""
    changed = []
    for path, (text, mode) in host_proxy.wanted_files(module_of(tmp_path, proxy, password), str(tmp_path / "apt")).items():
        if not host_proxy.as_wanted(path, text, mode):
            changed.append(os.path.basename(path))
            host_proxy.write(path, text, mode) if text else os.unlink(path)
    return changed


PROXY = {"http": "http://proxy.example:3128", "https": "http://secure.example:3129", "no_proxy": ["localhost", "::1", ".corp", "10.0.0.0/8", "mirror"], "username": "gpu"}


def test_a_password_stands_in_files_of_root_alone(tmp_path: Path) -> None:
    assert write_files(tmp_path, PROXY) == ["proxy.env", "90inferops-proxy.conf", "90inferops-proxy"]
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and ("word" in path.read_text())]
    assert {path.name for path in holding} == {"proxy.env", "90inferops-proxy.conf"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in holding)
    assert write_files(tmp_path, PROXY) == []
    (tmp_path / "etc/proxy.env").chmod(0o644)
    assert write_files(tmp_path, PROXY) == ["proxy.env"]


def test_apt_is_told(tmp_path: Path) -> None:
    write_files(tmp_path, PROXY)
    settings = (tmp_path / "apt/apt.conf.d/90inferops-proxy").read_text()
    assert 'Acquire::http::Proxy "http://proxy.example:3128";' in settings and 'Acquire::https::Proxy "http://secure.example:3129";' in settings
    assert 'Acquire::http::Proxy::mirror "DIRECT";' in settings and "::1" not in settings and "10.0.0.0" not in settings
    assert stat.S_IMODE((tmp_path / "apt/apt.conf.d/90inferops-proxy").stat().st_mode) == 0o644
    assert f"machine http://proxy.example:3128/ login gpu password {PASSWORD}" in (tmp_path / "apt/auth.conf.d/90inferops-proxy.conf").read_text()


def test_a_proxy_that_goes_takes_its_files_along(tmp_path: Path) -> None:
    write_files(tmp_path, PROXY)
    assert len(write_files(tmp_path, {})) == 3 and not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert write_files(tmp_path, {}) == []


def test_without_a_user_there_is_no_password(tmp_path: Path) -> None:
    assert write_files(tmp_path, {**PROXY, "username": ""}) == ["proxy.env", "90inferops-proxy"]
    assert "http_proxy=http://proxy.example:3128\n" in (tmp_path / "etc/proxy.env").read_text()


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt")
def test_real_apt_goes_through_it(tmp_path: Path, gateway: Any) -> None:
    """apt of this machine, with everything of its own in a folder: it shows user and password to the proxy, and is content with its settings."""
    write_files(tmp_path, proxy_at(gateway, "direct.invalid", username="gpu"), "secret")
    gateway.asked.clear()
    for folder in ("lists/partial", "cache/archives/partial"):
        (tmp_path / folder).mkdir(parents=True)
    sources = tmp_path / "sources.list"
    sources.write_text("deb [trusted=yes] http://debian.invalid/debian bookworm main\ndeb [trusted=yes] http://direct.invalid/debian bookworm main\n")
    options = {
        "Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "-", "Dir::State::lists": tmp_path / "lists", "Dir::Cache": tmp_path / "cache",
        "Dir::Etc::netrcparts": tmp_path / "apt/auth.conf.d", "Acquire::Retries": "0", "APT::Sandbox::User": "root", "Acquire::http::Timeout": "5",
    }
    config = tmp_path / "all.conf"
    config.write_text((tmp_path / "apt/apt.conf.d/90inferops-proxy").read_text() + "".join(f'{name} "{value}";\n' for name, value in options.items()))
    done = subprocess.run(["apt-get", "update"], env={"PATH": os.environ["PATH"], "APT_CONFIG": str(config)}, capture_output=True, text=True, check=False, timeout=60)
    asked = {path for path, _said in gateway.asked}
    assert any(path.startswith("http://debian.invalid/") for path in asked), done.stderr
    assert not any("direct.invalid" in path for path in asked)
    assert {said for _path, said in gateway.asked} == {"Basic " + base64.b64encode(b"gpu:secret").decode()}
