# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a unit runs, from its file: as the collection writes it, as somebody changed it, and with quotes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.filter.systemd import unit_word
from ansible_collections.inferops.gpu.plugins.module_utils._status import texts, units

SINGLE = r"""# Managed by inferops.gpu (role model_service).
[Service]
EnvironmentFile=/etc/inferops/qwen3.env
LoadCredential=ssl_certfile:/etc/ssl/qwen3.pem
LoadCredential=ssl_keyfile:/etc/ssl/qwen3.key
ExecStartPre=+/bin/sh -c 'sha256sum supervisor'
ExecStart=/usr/bin/python3 \
    -EsB \
    /opt/inferops/lib/current \
    supervisor \
    single \
    --service=qwen3 \
    --failures=/var/lib/inferops/failures/vllm-qwen3 \
    --name=gpu1 \
    "--what=the engine" \
    --engine=https://127.0.0.1:8001 \
    --model=qwen3 \
    --task=chat \
    -- \
    /opt/inferops/releases/vllm-0.32.0-170296bd/bin/vllm \
    serve \
    /var/lib/inferops/models/Qwen--Qwen3/0123abcd \
    --host=0.0.0.0 \
    --port=8001 \
    --ssl-certfile=/run/credentials/vllm-qwen3.service/ssl_certfile \
    "--chat-template={{ a }} 100%% $$HOME"
TimeoutStartSec=300
"""
LEADER = """[Service]
ExecStart=/usr/bin/python3 lib supervisor leader --service=pair --port=6380 --name=gpu1 --worker=gpu2 --worker=engine -- /opt/r/vllm-1/bin/ray start --head --port=6379
"""
WORKER = """[Service]
ExecStart=/usr/bin/python3 lib supervisor worker --service=pair --name=gpu2 --leader-name=gpu1 -- /opt/r/vllm-1/bin/vllm serve /m --headless
"""


def test_a_service_on_one_host() -> None:
    found = units.about("vllm-qwen3.service", SINGLE)
    assert (found.service, found.role, found.node, found.leader, found.task, found.model) == ("qwen3", "single", "gpu1", "", "chat", "qwen3")
    assert (found.engine, found.host, found.port, found.release) == ("https://127.0.0.1:8001", "0.0.0.0", 8001, "vllm-0.32.0-170296bd")
    assert (found.weights, found.environment_file) == ("/var/lib/inferops/models/Qwen--Qwen3/0123abcd", "/etc/inferops/qwen3.env")
    assert (found.certificate, found.served_certificate) == ("/etc/ssl/qwen3.pem", "/run/credentials/vllm-qwen3.service/ssl_certfile")
    assert found.failures == "/var/lib/inferops/failures/vllm-qwen3" and found.readable
    assert units.command(SINGLE)[-1] == "--chat-template={{ a }} 100% $HOME"
    assert found.digest == units.digest(units.command(SINGLE)) != units.about("vllm-qwen3.service", SINGLE.replace("8001", "8002")).digest


def test_the_digest_leaves_out_names_of_secrets() -> None:
    with_names = WORKER.replace("--leader-name=gpu1", "--leader-name=gpu1 --withhold=VLLM_API_KEY")
    after = WORKER.replace("--headless", "--headless --withhold=VLLM_API_KEY")
    found = [units.about("vllm-pair.service", text).digest for text in (WORKER, with_names, after)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("word", ["plain", "", "two words", 'a "quote"', "it's", "back\\slash", "$HOME", "100%", "%%", "line\nbreak", "tab\t", '{"a": "b\\n"}', "äöü", ";"])
def test_words_are_read_as_the_unit_writes_them(word: str) -> None:
    """The digest of the command is compared with that of the plan."""
    assert units.command(f"ExecStart=/bin/x \\\n    {unit_word(word)}\n") == ["/bin/x", word]


def test_the_nodes_of_a_service() -> None:
    leader, worker = units.about("ray-head-pair.service", LEADER), units.about("vllm-pair.service", WORKER)
    assert (leader.role, leader.leader, leader.workers, leader.release, leader.weights) == ("leader", "gpu1", ("gpu2", "engine"), "vllm-1", "")
    assert leader.port == 0 and units.about("x", LEADER.replace("--port=6380", "--port=6380 --engine=http://127.0.0.1:8001")).port == 8001
    assert (worker.role, worker.leader, worker.workers, worker.weights, worker.engine) == ("worker", "gpu1", (), "/m", "")


@pytest.mark.parametrize("text", ["", "ExecStart=", "ExecStart=/bin/sleep 5", 'ExecStart=/bin/sh -c "open', "ExecStart=/bin/a -- b", "\0\x1b[31m"])
def test_a_unit_that_somebody_replaced(text: str) -> None:
    found = units.about("vllm-x.service", text)
    assert not found.readable and (found.release, found.engine, found.weights) == ("", "", "")


@pytest.mark.parametrize(
    ("weights", "revision"),
    [("/models/org--name/abc", "abc"), ("/models/org--name", ""), ("/srv/mine/abc", ""), ("", ""), ("relative/abc", ""), ("/models/../srv", "")],
)
def test_the_revision_of_weights(weights: str, revision: str) -> None:
    assert units.revision_of(weights, "/models") == revision


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\x1b[31m\tc", "a b [31m c"), ("x" * 400, "x" * 300 + "…"), (None, ""), (5, ""), ("key sk-abcdefgh12345678", "key (hidden)"),
        ("\u202eevil", "evil"),
    ],
)
def test_texts_are_one_short_line(text: Any, line: str) -> None:
    assert texts.one_line(text) == line


@pytest.mark.parametrize(("value", "number"), [(3, 3), (2.9, 2), (-1, None), (True, None), ("3", None), (float("nan"), None), (float("inf"), None), (None, None)])
def test_numbers_are_numbers(value: Any, number: int | None) -> None:
    assert texts.whole(value) == number
