#!/usr/bin/env python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Prometheus copes with the targets and rules of many hosts: makes them as the role does, checks them, and loads them in a real Prometheus.

    tests/bench/monitoring.py [--hosts 200] [--services 4] [--seconds 120]

Prints sizes, times, and Prometheus' memory. Its targets are a server here that answers all of them with a recorded engine's and a collector's metrics, so that
Prometheus has as much to store as with real hosts. Needs prometheus and promtool.
"""

from __future__ import annotations

import argparse
import http.server
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))
# pylint: disable=wrong-import-position
from ansible_collections.inferops.gpu.plugins.filter import monitoring as filters  # noqa: E402
from ansible_collections.inferops.gpu.plugins.plugin_utils.monitoring import shipped  # noqa: E402

MONITOR = "mon1"
OBJECTIVES = {"ttft_seconds": 2.0, "ttft_ratio": 0.99, "queue_seconds": 1.0, "queue_ratio": 0.99, "error_ratio": 0.001}


def plans(hosts: int, services: int, port: int) -> dict[str, Any]:
    """The monitoring of hosts, all of whose targets are on one port of this machine, each host with a loopback address of its own."""
    found = {}
    for number in range(hosts):
        address = f"127.1.{number // 250}.{number % 250 + 1}:{port}"
        own = {"cluster": "sizes", "host": f"gpu{number}"}
        engines = [{**own, "service": f"model-{one}", "model": f"model-{one}", "release": "vllm-0.32.0-0123456789", "task": "chat"} for one in range(services)]
        targets = [{"job": "inferops-node", "address": address, "scheme": "http", "server_name": "", "labels": own}]
        targets += [{"job": "vllm", "address": address, "scheme": "http", "server_name": "", "labels": labels} for labels in engines]
        found[f"gpu{number}"] = {
            "monitoring": {"host": MONITOR, "source": "", "targets": targets, "services": [{**labels, "objectives": OBJECTIVES} for labels in engines]},
        }
    return found


def serve(text: bytes) -> int:
    """Answer every request with metrics; return the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        """The stand-in of all targets."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # pylint: disable=invalid-name
            """Answer with the metrics."""
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_arguments: Any) -> None:  # pylint: disable=arguments-differ
            """Log nothing."""

    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def ask(url: str) -> Any:
    """What Prometheus' API answers."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)["data"]


def memory(pid: int) -> float:
    """The resident memory of a process in MiB."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


def processor(pid: int) -> float:
    """The processor time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> int:
    """Make the files, load them, and print what that takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--services", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--metrics", type=Path, default=None, help="recorded metrics of an engine, instead of 300 series that are made up")
    parser.add_argument("--port", type=int, default=19290)
    given = parser.parse_args()
    text = given.metrics.read_bytes() if given.metrics else "".join(f'engine_metric_{n}{{le="{n}"}} {n}\n' for n in range(300)).encode()
    settings = {
        "host": MONITOR, "cluster": "sizes", "scrape_interval": 15, "listen_address": "127.0.0.1", "prometheus_port": given.port,
        "alertmanager_port": 19293, "blackbox_port": 19115, "probe": False,
    }
    began = time.monotonic()
    found = plans(given.hosts, given.services, serve(text))
    files = {**filters.monitoring_files(found, MONITOR, settings), **shipped.read(ROOT / "roles" / "monitoring" / "files", found, MONITOR)}
    size = sum(map(len, files.values())) / 1e6
    print(f"{given.hosts} hosts, {given.services} services each: {len(files)} files, {size:.1f} MB in {time.monotonic() - began:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            (Path(folder) / path).parent.mkdir(exist_ok=True)
            (Path(folder) / path).write_text(content, encoding="utf-8")
        began = time.monotonic()
        subprocess.run(["promtool", "check", "config", f"{folder}/prometheus.yml"], check=True, stdout=subprocess.DEVNULL)
        print(f"promtool check config: {time.monotonic() - began:.1f} s")
        url, began = f"http://127.0.0.1:{given.port}", time.monotonic()
        arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{given.port}"]
        with subprocess.Popen(["prometheus", *arguments, "--log.level=error"]) as process:
            try:
                while True:
                    try:
                        urllib.request.urlopen(f"{url}/-/ready", timeout=5).close()
                        break
                    except (urllib.error.URLError, OSError):
                        time.sleep(0.1)
                print(f"ready after {time.monotonic() - began:.1f} s, {memory(process.pid):.0f} MiB")
                time.sleep(given.seconds / 2)
                before, since = processor(process.pid), time.monotonic()
                time.sleep(given.seconds / 2)
                used = (processor(process.pid) - before) / (time.monotonic() - since)
                up = sum(target["health"] == "up" for target in ask(f"{url}/api/v1/targets?state=active")["activeTargets"])
                series = ask(f"{url}/api/v1/status/tsdb")["headStats"]["numSeries"]
                groups = ask(f"{url}/api/v1/rules")["groups"]
                print(f"after {given.seconds} s: {up} targets up, {series} series, {memory(process.pid):.0f} MiB, {used:.2f} of a core")
                print(f"{sum(len(group['rules']) for group in groups)} rules: {sum(group['evaluationTime'] for group in groups):.2f} s for one evaluation")
            finally:
                # It would wait for all scrapes.
                process.kill()
                process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
