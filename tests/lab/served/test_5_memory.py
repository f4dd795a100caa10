# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The memory of a token in the KV cache: the estimate of the plan compared with the capacity in vLLM's own log."""

from __future__ import annotations

import re
import subprocess

import planned
import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.model_lookup import Lookup
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Question, read_config
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.architecture import Architecture
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.memory import BLOCK, GIB, cache_of
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.parallel import Parallel
from testinfra.host import Host

from lab import MIRROR, SSH_CONFIG

LOGGED = re.compile(r"KV cache size: ([\d,]+) tokens")

# Starts an engine without a server, in one process, which ends with its log.
ENGINE = """
from vllm import LLM
LLM(model={repo!r}, revision={revision!r}, max_model_len=2048, enforce_eager=True)
"""


def built(name: str) -> tuple[str, str, Architecture]:
    """Repository, revision and build of the tiny model that stands for a catalogue entry, as the plan learns it of any unknown model."""
    entry = planned.Planner().catalogue.entries[name]
    question = Question(entry.repo, entry.revision, (MIRROR,))
    answer = Lookup(None).ask({question: ""})[question]
    model, problem = read_config(answer.config, answer.files or ())
    assert not problem and not answer.problem, (problem, answer.problem)
    return entry.repo, entry.revision, model


def expected_tokens(model: Architecture) -> int:
    """Tokens that the plan finds room for in the lab's cache (VLLM_CPU_KVCACHE_SPACE: 1 GiB), in whole blocks."""
    cache = cache_of(model, Parallel())
    assert cache and cache.token and not cache.window_token
    return int(GIB // (cache.token * BLOCK)) * BLOCK


def logged_tokens(log: str) -> int:
    """What vLLM's log says, the last time."""
    found = LOGGED.findall(log)
    assert found, log[-3000:]
    return int(found[-1].replace(",", ""))


def test_experts_with_grouped_queries(host: Host) -> None:
    """Qwen3-235B's build, by the journal of the service that runs."""
    _repo, _revision, model = built("qwen3-235b-a22b-instruct-2507-fp8")
    log = host.check_output("journalctl --no-pager --output=cat --unit=vllm-qwen3-235b.service --grep='KV cache size'")
    assert (model.class_name, logged_tokens(log)) == ("Qwen3MoeForCausalLM", expected_tokens(model))


@pytest.mark.parametrize(("name", "kind"), [("glm-4.7-flash", "Glm4MoeLiteForCausalLM"), ("qwen3-0.6b", "Qwen3ForCausalLM")])
def test_other_builds(host: Host, addresses: dict[str, str], name: str, kind: str) -> None:
    """Multi-head latent attention, and a dense model: an engine of the release on the host, for as long as it takes to log."""
    repo, revision, model = built(name)
    python = host.check_output("ls -d /opt/inferops/releases/vllm-*/bin/python | head -1")
    folder = host.check_output("sudo -u inferops mktemp -d /var/tmp/engine.XXXXXX")
    settings = {
        "HOME": folder,
        "HF_HOME": folder,
        "HF_ENDPOINT": MIRROR,
        "HF_HUB_DISABLE_XET": "1",
        "VLLM_CACHE_ROOT": folder,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }
    words = " ".join(f"{key}={value}" for key, value in settings.items())
    remote = f"sudo -u inferops env --chdir={folder} {words} timeout 200 {python} -"
    try:
        done = subprocess.run(
            ["ssh", "-F", SSH_CONFIG, next(iter(addresses)), remote], input=ENGINE.format(repo=repo, revision=revision), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=240,
        )
    finally:
        host.run("rm -rf %s", folder)
    assert (model.class_name, logged_tokens(done.stdout)) == (kind, expected_tokens(model))
