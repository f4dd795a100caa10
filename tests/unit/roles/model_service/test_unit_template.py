# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The unit's wait for health, as the template writes it, run for real: past proxies, with a certificate for another name, and without noise."""

from __future__ import annotations

import http.server
import os
import shlex
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
from ansible_collections.inferops.gpu.plugins.filter import systemd

TEMPLATE = Path(__file__).resolve().parents[4] / "roles" / "model_service" / "templates" / "vllm.service.j2"


def render(url: str, tls: dict[str, Any] | None = None) -> list[str]:
    """The lines of a unit."""
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.ChainableUndefined)
    environment.filters.update({f"inferops.gpu.{name}": found for name, found in systemd.FilterModule().filters().items()})
    item = {
        "local_url": url, "engine": "vllm", "served_model_name": "m", "repo": "a/b", "cache": "/c", "environment": {}, "environment_file": "/e", "before_start": [],
        "argv": ["vllm"], "timeouts": {"start": 9, "stop": 9}, "tls": tls, "unit": "vllm-m.service",
    }
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(item=item, plan_host={"account": {}}).splitlines()


def wait_for_health(lines: list[str], pid: int, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the unit's ExecStartPost as systemd does, which takes quotes away and one of two dollars."""
    command = next(line for line in lines if line.startswith("ExecStartPost=")).removeprefix("ExecStartPost=")
    words = [word.replace("$$", "$") for word in shlex.split(command)]
    environment = {"PATH": os.environ["PATH"], "MAINPID": str(pid), **variables}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=20, check=False)


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An engine that is healthy; with TLS and a certificate for its host's name where that is asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = request.param
    if scheme == "https":
        chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=llm.example.org", "-keyout", str(key), "-out", str(chain)]
        subprocess.run(made, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        found.socket = context.wrap_socket(found.socket, server_side=True)
    threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True).start()
    yield f"{scheme}://127.0.0.1:{found.server_port}"
    found.shutdown()
    found.server_close()


TLS = {"unit": "vllm-m.service", "copied": {"ssl_keyfile": "/etc/letsencrypt/live/a/privkey.pem"}}


@pytest.mark.parametrize("server", ["http", "https"], indirect=True)
@pytest.mark.parametrize("variables", [{}, dict.fromkeys(("http_proxy", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")], ids=["no proxy", "a proxy"])
def test_health_is_seen(server: str, variables: dict[str, str]) -> None:
    done = wait_for_health(render(server, TLS if server.startswith("https") else None), os.getpid(), **variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_main_process_that_is_gone_ends_the_wait_without_a_word() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    done = wait_for_health(render("http://127.0.0.1:9"), gone.pid)
    assert (done.returncode, done.stderr) == (1, "")


def test_only_the_unit_that_reads_them_gets_the_files() -> None:
    assert "LoadCredential=ssl_keyfile:/etc/letsencrypt/live/a/privkey.pem" in render("https://127.0.0.1:1", TLS)
    assert not [line for line in render("https://127.0.0.1:1", {**TLS, "unit": "other.service"}) + render("http://127.0.0.1:1") if "Credential" in line]
