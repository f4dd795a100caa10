# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page in a real browser: headless Chromium renders it, requests nothing, and has nothing to complain about."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
import zlib

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import report_builders as builders

from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report import page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
HOSTILE = "<img src=http://report.invalid/x.png><script>document.title='changed';console.error('ran')</script>"
# Without GPU and sandbox it runs in a container, as root; the others keep it from requests of its own.
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--proxy-bypass-list=<-loopback>",
)
SECONDS = 60


@pytest.fixture(autouse=True)
def _browser() -> None:
    if BROWSER is None:
        text = "the page was not looked at in a browser: apt install chromium"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)


@pytest.fixture(name="proxy")
def _proxy() -> Iterator[Any]:
    """A proxy that answers nothing, and records what is requested."""
    requested: list[str] = []
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _address = server.accept()
            except OSError:
                return
            with connection:
                requested.append(connection.recv(4096).split(b"\r\n")[0].decode(errors="replace"))

    threading.Thread(target=accept, daemon=True).start()
    yield server.getsockname()[1], requested
    server.close()


def browse(tmp_path: Path, text: str, port: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Opens a page in a new profile."""
    file = tmp_path / "report.html"
    file.write_text(text, encoding="utf-8")
    profile = tmp_path / "profile"
    command = [str(BROWSER), *OPTIONS, f"--proxy-server=127.0.0.1:{port}", f"--user-data-dir={profile}", *options, file.as_uri()]
    # The browser reads settings of a desktop in its home, and writes caches there.
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done


def console(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Messages on the page's console: errors of scripts, and what the page's policy has blocked."""
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def of_page(requested: list[str]) -> list[str]:
    """Requests that the page could have made: Chromium's own go to other names."""
    return [line for line in requested if "report.invalid" in line]


def pixels(path: Path) -> tuple[int, int, Counter[bytes]]:
    """Width, height, and how often each colour is in a PNG of 8 bits a channel, as the browser writes it (PNG specification, 9: filtering)."""
    data, place, packed, width, height, size = path.read_bytes(), 8, b"", 0, 0, 0
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place:place + 8])
        chunk = data[place + 8:place + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colours = struct.unpack(">IIBB", chunk[:10])
            assert depth == 8 and colours in (2, 6)
            size = 3 if colours == 2 else 4
        packed += chunk if kind == b"IDAT" else b""
        place += length + 12
    raw, above, found = zlib.decompress(packed), bytearray(width * size), Counter[bytes]()
    for row in range(height):
        start = row * (width * size + 1)
        way, line = raw[start], bytearray(raw[start + 1:start + 1 + width * size])
        for at in range(len(line)):
            left, up, corner = line[at - size] if at >= size else 0, above[at], above[at - size] if at >= size else 0
            paeth = min((left, up, corner), key=lambda near: abs(left + up - corner - near))
            line[at] = (line[at] + (0, left, up, (left + up) // 2, paeth)[way]) & 255
        above = line
        found.update(bytes(line[at:at + size]) for at in range(0, len(line), size))
    return width, height, found


@pytest.mark.parametrize("number", [1, 50])
def test_the_page_is_rendered(tmp_path: Path, proxy: Any, number: int) -> None:
    """Title, headings and every table are in the DOM; nothing is requested, and the console is empty."""
    port, requested = proxy
    report = builders.of_many(number) if number > 1 else builders.report()
    text = page.render(report)
    done = browse(tmp_path, text, port, "--dump-dom")
    result = report["run"]["result"]
    assert f"<title>Report of site.yml, 2026-11-26 23:41:57 UTC: {result}</title>" in done.stdout
    assert done.stdout.count("<table") == text.count("<table") == done.stdout.count("<caption>")
    for heading in ("Services", "Verifications", "Changes", "Warnings", "Versions and hashes", "Listening ports", "Plan", "Run"):
        assert f"<h2>{heading}</h2>" in done.stdout
    assert all(f">{name}</th>" in done.stdout for name in report["hosts"])
    assert console(done) == [] and of_page(requested) == []


def test_hostile_names_stay_text(tmp_path: Path, proxy: Any) -> None:
    """A host, a service and an answer with markup: no element comes of them, no script runs, and nothing is requested."""
    port, requested = proxy
    hostile = builders.host(
        HOSTILE, address=HOSTILE, plan=builders.plan(builders.service(HOSTILE, environment={HOSTILE: HOSTILE})),
        verified={"answers": {HOSTILE: {"task": HOSTILE, "tokens": 1, "seconds": 1.0}}, "errors": {}},
    )
    done = browse(tmp_path, page.render(builders.report(hostile)), port, "--dump-dom")
    assert "<title>Report of" in done.stdout and "<img" not in done.stdout and "<script" not in done.stdout
    assert "&lt;img src=http://report.invalid/x.png&gt;" in done.stdout
    assert console(done) == [] and of_page(requested) == []


def test_the_policy_blocks_what_would_not_be_escaped(tmp_path: Path, proxy: Any) -> None:
    """The second guard: the same markup put into the page as it is. Without the policy, the browser requests the image."""
    port, requested = proxy
    bare = page.render(builders.report()).replace("<main>", f"<main>{HOSTILE}")
    done = browse(tmp_path, bare, port, "--dump-dom")
    assert "<img" in done.stdout and "<title>Report of" in done.stdout
    assert console(done) and of_page(requested) == []
    open_page = bare.replace("default-src 'none'; style-src 'unsafe-inline'", "default-src * 'unsafe-inline'")
    done = browse(tmp_path, open_page, port, "--dump-dom")
    assert "<title>changed</title>" in done.stdout and of_page(requested)


@pytest.mark.parametrize(("scheme", "background"), [("light", b"\xf5\xf7\xf9"), ("dark", b"\x12\x17\x1d")])
def test_screenshot(tmp_path: Path, proxy: Any, scheme: str, background: bytes) -> None:
    """Neither blank nor in the colours of the other scheme."""
    picture = tmp_path / "page.png"
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    browse(tmp_path, page.render(builders.of_many(50)), proxy[0], *dark, "--window-size=900,500", f"--screenshot={picture}")
    width, height, colours = pixels(picture)
    assert (width, height) == (900, 500)
    assert len(colours) > 50 and {colour[:3] for colour, _count in colours.most_common(3)} >= {background}
