# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machines of molecule/monitoring: Prometheus' host, its API through SSH, a receiver of alerts, and a small load on the engine."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import openai
import pytest
import testinfra
from lab import ROOT, SSH_CONFIG, Scenario, wait_until
from openai import OpenAI
from testinfra.host import Host

GPU, MONITOR = "lab-gpu1", "lab-mon"
RECEIVED = "/run/received-alerts"
HOOK, TOKEN = "hook-4f1d2c", "token-7c20b9"
# Appends each body that is posted with the token, one JSON text a line.
RECEIVER = f"""
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/{HOOK}" and self.headers["Authorization"] == "Bearer {TOKEN}":
            with open("{RECEIVED}", "ab") as file:
                file.write(body.replace(b"\\n", b" ") + b"\\n")
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 9911), Handler).serve_forever()
"""


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """The playbook on both machines."""
    inventories = (ROOT / "inventories" / "lab", ROOT / "molecule" / "monitoring" / "inventory")
    return Scenario(inventories, "playbooks/monitoring.yml", "lab")


@pytest.fixture(scope="session")
def addresses() -> dict[str, str]:
    """Addresses of the machines by name, that of the services first."""
    found = {}
    for name in (GPU, MONITOR):
        said = subprocess.run(["ssh", "-G", "-F", SSH_CONFIG, name], check=True, stdout=subprocess.PIPE, text=True).stdout
        found[name] = next(line.split()[1] for line in said.splitlines() if line.startswith("hostname "))
    return found


@pytest.fixture(scope="session")
def monitor() -> Host:
    """The machine that runs Prometheus, with root's rights."""
    return testinfra.get_host(f"ssh://{MONITOR}", ssh_config=SSH_CONFIG, sudo=True)


@pytest.fixture(scope="session")
def prometheus() -> Iterator[str]:
    """The base URL of Prometheus, which listens on its host's loopback address, through SSH."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port = tried.getsockname()[1]
    tunnel = subprocess.Popen(["ssh", "-F", SSH_CONFIG, "-N", "-L", f"127.0.0.1:{port}:127.0.0.1:9090", MONITOR], stdin=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        with suppress(OSError):
            return bool(urllib.request.urlopen(f"{url}/-/ready", timeout=5).status == 200)
        return False

    try:
        wait_until(ready, 60, "Prometheus answers")
        yield url
    finally:
        tunnel.terminate()
        tunnel.wait()


Query = Callable[[str], dict[str, float]]


@pytest.fixture(scope="session")
def query(prometheus: str) -> Query:
    """Runs an instant query; returns the values by their labels as JSON."""

    def run(expression: str) -> dict[str, float]:
        with urllib.request.urlopen(f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}", timeout=30) as answer:
            found = json.load(answer)
        return {json.dumps(item["metric"], sort_keys=True): float(item["value"][1]) for item in found["data"]["result"]}

    return run


@pytest.fixture(scope="session")
def loaded(address: str, service: dict[str, Any], client: OpenAI) -> float:
    """A small load: streams, prefixes that repeat, an aborted request, wrong requests. Returns when it ended, in seconds since 1970."""
    prompt = "A text that all requests begin with, long enough to fill some blocks of the cache. " * 6

    def ask(number: int) -> None:
        for _chunk in client.completions.create(model=service["name"], prompt=f"{prompt}{number % 3}", max_tokens=24, stream=True):
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(24)))
    client.completions.create(model=service["name"], prompt="x", max_tokens=2)
    with suppress(openai.APIError):
        client.with_options(timeout=0.3).completions.create(model=service["name"], prompt=prompt, max_tokens=800)
    for wrong in ({"model": "no-such-model"}, {"max_tokens": -1}):
        with suppress(openai.APIError):
            client.completions.create(**{"model": service["name"], "prompt": "x", **wrong})
    return time.time()


@pytest.fixture
def received(monitor: Host) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The alerts that have arrived at the webhook since the test began."""
    monitor.run("systemctl stop lab-receiver; rm -f %s", RECEIVED)
    monitor.run_expect([0], "systemd-run --quiet --collect --unit=lab-receiver /usr/bin/python3 -c %s", RECEIVER)

    def read() -> list[dict[str, Any]]:
        lines = monitor.run("cat %s", RECEIVED).stdout.splitlines()
        return [alert for line in lines for alert in json.loads(line)["alerts"]]

    yield read
    monitor.run("systemctl stop lab-receiver")
