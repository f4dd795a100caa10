# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which LoRA adapters of its file an engine does not serve."""

from __future__ import annotations

import http.server
import json
import threading

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.inferops.gpu.plugins.filter import systemd
from ansible_collections.inferops.gpu.plugins.module_utils import _adapters, _host
from ansible_collections.inferops.gpu.plugins.module_utils._status import adapters, manager, metrics, read, units

KEY = 'a"b$c\\d`e'


class Models(http.server.BaseHTTPRequestHandler):
    """A model list for those with the key."""

    def do_GET(self) -> None:
        is_known = self.path == "/v1/models" and self.headers["Authorization"] == f"Bearer {KEY}"
        found = [{"id": "base", "root": "/w", "parent": None}, *({"id": name, "root": f"/w/{name}", "parent": "base"} for name in ("a", "moved"))]
        data = json.dumps({"data": found}).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(name="engine")
def _engine() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Models) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()


def about(folder: Path, engine: str, key: str = KEY) -> units.About:
    """A unit whose engine follows a file with three adapters."""
    (folder / "a.json").write_text(_adapters.text_of({"a": "/w/a", "moved": "/w/elsewhere", "refused": "/w/refused"}), encoding="utf-8")
    (folder / "a.env").write_text("# Managed\n" + systemd.environment_file({"A": "1", "VLLM_API_KEY": key}), encoding="utf-8")
    return units.About(engine=engine, adapters_file=str(folder / "a.json"), environment_file=str(folder / "a.env"))


def test_refused_ones_and_those_of_another_directory(tmp_path: Path, engine: str) -> None:
    follows = about(tmp_path, engine)
    assert adapters.not_loaded({"u": follows, "without": units.About(engine=engine)}) == {"u": ["moved", "refused"]}


@pytest.mark.parametrize("which", ["key", "silent", "elsewhere", "unreadable"])
def test_an_engine_that_does_not_tell(tmp_path: Path, engine: str, which: str) -> None:
    follows = about(tmp_path, {"silent": "http://127.0.0.1:9", "elsewhere": "http://192.0.2.1:80"}.get(which, engine), "other" if which == "key" else KEY)
    if which == "unreadable":
        Path(follows.adapters_file).write_text("[]", encoding="utf-8")
    assert adapters.not_loaded({"u": follows}) == {}


def test_a_service_without_a_key() -> None:
    assert adapters.api_key("A=\"1\"\n") == "" and adapters.api_key(systemd.environment_file({"VLLM_API_KEY": KEY})) == KEY


@pytest.mark.parametrize(("active", "expected"), [("active", ["moved", "refused"]), ("inactive", None)])
def test_the_state_of_a_unit_has_them(tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch, active: str, expected: list[str] | None) -> None:
    """Of one that does not run nobody can tell; one that follows no file has none."""
    states = {unit: manager.State("loaded", active, "", "", "", "", "", 0, 0, None, False, ()) for unit in ("vllm-a.service", "vllm-b.service")}
    found = {"vllm-a.service": about(tmp_path, engine), "vllm-b.service": units.About(engine=engine)}
    monkeypatch.setattr(_host, "read_services", lambda: [{"unit": unit} for unit in states])
    monkeypatch.setattr(manager, "read", lambda _units: states)
    monkeypatch.setattr(units, "about", lambda unit, _text: found[unit])
    monkeypatch.setattr(metrics, "read", lambda _urls, _between: {})
    monkeypatch.setattr(read, "_unit", lambda service, *_given: {"unit": service["unit"]})
    assert read.read_units("/w", "/s") == [
        {"unit": "vllm-a.service", "adapters_not_loaded": expected}, {"unit": "vllm-b.service", "adapters_not_loaded": []},
    ]
