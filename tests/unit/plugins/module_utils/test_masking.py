# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No message shows a secret: what is masked in any text, and what the programs and modules say when a header or an address makes them fail."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
import time

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _api_check, _masking, _systemd
from ansible_collections.inferops.gpu.plugins.module_utils._hub import Hub, HubError
from ansible_collections.inferops.gpu.plugins.module_utils._masking import has_credentials, has_token, masked
from ansible_collections.inferops.gpu.plugins.module_utils._openai_api import Api, ApiError
from ansible_collections.inferops.gpu.plugins.module_utils.fetch import endpoints
from ansible_collections.inferops.gpu.plugins.module_utils.release import steps
from ansible_collections.inferops.gpu.plugins.modules import weights_probe
from ansible_collections.inferops.gpu.plugins.plugin_utils.model_lookup import Lookup
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Question

SECRET = "s3cr3tOfTheTest"
TOKENS = (f"{SECRET}\n", f"{SECRET}\r\nX-Evil: 1", f" {SECRET}", f"{SECRET}\t", f"{SECRET}é€")


@pytest.mark.parametrize(
    "text",
    [
        f"Invalid header value b'Bearer {SECRET}\\n'",
        f"https://user:{SECRET}@example.com/simple",
        f"https://{SECRET}@example.com/simple",
        f"see grpc://user:{SECRET}@host:4317, or not",
        f"https://user:pa/{SECRET}@example.com/simple",
        f"nonnumeric port in http://user:{SECRET}@[::1]:80/",
        f"{{'Authorization': 'Basic {SECRET}'}}",
        f"authorization={SECRET}",
        f"https://example.com/x.whl?sv=1&sig={SECRET}",
        f"https://example.com/x.whl?X-Amz-Signature={SECRET}&x=1",
        f"https://example.com/x.whl?access_token={SECRET}",
        f"the token hf_{SECRET}{SECRET} is wrong",
        f"sk-{SECRET}",
        f'http://user:pa"{SECRET}@proxy:3128',
        f'{{"proxy":"http://user:pa"{SECRET}@proxy:3128","to":"x@y"}}',
        f"https://u:p@{SECRET}/w@h",
        f"https://u:p@ss/{SECRET}@h",
        f"cannot reach user:{SECRET}@proxy:3128, or not",
        f"https_proxy=user:{SECRET}@proxy.example.com",
        f"{{'proxy': 'user:{SECRET}@10.0.0.1'}}",
        f"(user:{SECRET}@[::1]:3128)",
        f"me:{SECRET}@proxy",
        f"https://example.com/x?a=b?token={SECRET}",
        f"https://user:{'x' * 2000}{SECRET}@example.com/simple",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    """Without knowing the secret."""
    assert SECRET not in masked(text) and _masking.MASK in masked(text)


@pytest.mark.parametrize("secret", [SECRET, *TOKENS, f"one {SECRET}\ntwo {SECRET}", f"https://me:{SECRET}@host/", f"a{SECRET}'\"\\"])
def test_a_known_secret_is_masked_however_it_is_written(secret: str) -> None:
    """As it is, in a repr, in JSON, in bytes, in an address, and line by line."""
    for text in (secret, repr(secret), repr(secret.encode()), f"x {secret.strip()} y", ascii(secret), f"bad port: '{SECRET}@host'"):
        if "://" in secret or "@" not in text:
            assert SECRET not in masked(text, secret)


@pytest.mark.parametrize(
    "text",
    [
        "http://10.0.0.1:8000/v1 answered 503",
        "git+ssh://git@github.com/org/repo@abc",
        "https://huggingface.co/org/repo@main and me@example.com",
        "http://[::1]:8000/x@y",
        "no completion and no token for 20 s",
        "write a token of the account",
        "task-1 took 4 s, disk-usage",
        '{"url":"http://h:1","to":"x@y"}',
        "https://example.com/?page=2&keyboard=de",
        "git@github.com:org/repo",
        "cloning git@github.com:org/repo failed",
        "user@host is 10.0.0.1:8000 with model@revision",
        "name: a@b",
        "write to mailto:me@example.com",
        "ubuntu:22.04@sha256:0123456789abcdef",
        "vllm/vllm-openai:v0.32.0@sha256:0123456789abcdef",
        '{"url":"http://host:8000/v1","to":"me@example.com"}',
        "out = x[:n]@w.weight",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    """Messages stay readable."""
    assert masked(text) == text and not has_credentials(text) and not has_token(text)


LENGTH = 200_000


@pytest.mark.parametrize(
    "piece",
    [
        "a", "?a", "a://", "a://b:", "a://b:c", 'a://b:"', "x:=", "token", "&token", "key", "authorization", "authorization=", "Bearer ", " ", "@", "a:b@",
        "a@", "a.", "hf_a.", "sk-", '"@', "a://@", "1",
    ],
)
@pytest.mark.parametrize("end", ["", "@", '""@', "@h:"])
def test_masking_takes_no_longer_than_the_text_is_long(piece: str, end: str) -> None:
    """A stranger's request is a line of the log, which is masked just when a service fails. It took minutes."""
    text = "?a://" + piece * (LENGTH // len(piece)) + end
    began = time.process_time()
    masked(text)
    has_credentials(text)
    assert time.process_time() - began < 5


def test_lines_of_the_journal_are_masked_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is cut where it is very long, and no secret with it."""
    lines = ["short", "x" * 9000, f"{'y' * 3990} http://user:{SECRET}@proxy:3128"]
    done = subprocess.CompletedProcess([], 0, stdout="\n".join(lines) + "\n")
    monkeypatch.setattr(_systemd.subprocess, "run", lambda *words, **more: done)
    found = _systemd.journal("a.service", "", 600)
    assert found[:2] == ["short", "x" * 4000 + "…"] and len(found) == 3
    assert all(len(line) <= 4001 for line in found) and "user" not in found[2]


def test_an_empty_secret_masks_nothing() -> None:
    """Nor does one that every word holds."""
    assert masked("a plain text", "", None, "a", " \n") == "a plain text"


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers every request with an error that quotes what it was sent."""

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization", "none")
        body = f"you sent {sent}, that is {sent.rpartition(' ')[2]}".encode("latin-1", "replace")
        self.send_response(418)
        self.send_header("X-Error-Message", f"no such token {sent.rpartition(' ')[2]}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """The address of a server that quotes what it was sent."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("token", [SECRET, *TOKENS])
def test_hub_and_modules_show_no_token(echo: str, token: str) -> None:
    """Neither where a header cannot hold it, nor where a server sends it back."""
    said = []
    with pytest.raises(HubError) as error:
        Hub(echo, token, timeout=5).read_commit("org/name", "main")
    said.append(str(error.value))
    parameters = {
        "repo": "org/name", "revision": "main", "endpoints": [echo], "token": token, "token_endpoints": [echo], "ca_certificates": [], "exclude": [],
        "include": [],
    }
    with pytest.raises(HubError) as error:
        weights_probe.ask(parameters)
    said.append(str(error.value))
    said += [answer.problem + answer.missing for answer in Lookup(None, 5).ask({Question("org/name", "main", (echo,), (echo,)): token}).values()]
    with pytest.raises(ApiError) as error:
        Api(echo, token, 5).call("/health")
    said.append(str(error.value))
    service = {"name": "q", "url": echo, "model": "q", "thinking": "never", "api_key": token, "unit": None, "task": "chat", "thinking_switch": None,
               "verify_certificate": True, "certificate_name": None, "authorities": None, "adapters": []}
    said.append(str(_api_check.ask(service, {"prompt": "x", "max_tokens": 1, "timeout": 5})))
    assert [text for text in said if SECRET in text] == [] and all(said)


@pytest.mark.parametrize("endpoint", [f"http://me:{SECRET}@127.0.0.1:1", f"http://me:{SECRET}@127.0.0.1:x", f"http://{SECRET}@127.0.0.1:1"])
def test_an_endpoint_s_password_is_not_shown(endpoint: str) -> None:
    """Wherever the address is quoted, or a part of it taken for a port."""
    parameters = {
        "repo": "org/name", "revision": "main", "endpoints": [endpoint], "token": "", "token_endpoints": [], "ca_certificates": [], "exclude": [],
        "include": [],
    }
    with pytest.raises(HubError) as error:
        weights_probe.ask(parameters)
    assert SECRET not in str(error.value)
    answers = Lookup(None, 5).ask({Question("org/name", "main", (endpoint,), ()): ""})
    assert all(SECRET not in answer.problem for answer in answers.values())


@pytest.mark.parametrize("token", [SECRET, *TOKENS])
def test_host_programs_show_no_token(echo: str, token: str) -> None:
    """The download asks by itself; the supervisor by C(Api), as modules do."""
    assert SECRET not in endpoints.ask(f"{echo}/org/name", token, 1).error


def test_a_build_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    """uv and pip quote addresses; what they were given stands in their environment."""
    environment = {"UV_DEFAULT_INDEX": f"https://me:{SECRET}@index.example.com/simple", "PATH": "/usr/bin:/bin"}
    program = f"print('cannot reach https://me:{SECRET}@index.example.com/simple'); print('bad port {SECRET}'); raise SystemExit(1)"
    with pytest.raises(steps.BuildError) as error:
        steps.run([sys.executable, "-c", program], environment, "")
    assert SECRET not in str(error.value) and SECRET not in capsys.readouterr().out
