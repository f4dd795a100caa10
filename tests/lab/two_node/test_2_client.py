# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service as its users see it: it says what one host says, to many at once."""

from __future__ import annotations

import concurrent.futures
import json

from pair import PROMPT, Pair


def single(pair: Pair) -> list[str]:
    """The same questions to the same model on the head alone, in a process of its own, with nothing of the service but its release and weights."""
    program = (
        "import json, sys\n"
        "from vllm import LLM, SamplingParams\n"
        "if __name__ == '__main__':\n"
        "    model = LLM(sys.argv[1], max_model_len=2048, enforce_eager=True)\n"
        "    done = model.generate(json.loads(sys.argv[2]), SamplingParams(temperature=0, max_tokens=16, ignore_eos=True))\n"
        "    print('ANSWERS' + json.dumps([one.outputs[0].text for one in done]))\n"
    )
    release = pair.head.check_output("ls -d /opt/inferops/releases/vllm-*").split()[0]
    weights = pair.head.check_output("ls -d /var/lib/inferops/models/Qwen--Qwen3-235B-A22B/*/")
    pair.head.run_expect([0], "printf %%s %s > /tmp/single.py", program)
    said = pair.head.run(
        "cd /tmp && HOME=/tmp/single HF_HUB_OFFLINE=1 VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1 %s/bin/python single.py %s %s",
        release, weights, json.dumps(PROMPTS),
    )
    lines = [line for line in said.stdout.splitlines() if line.startswith("ANSWERS")]
    assert lines, said.stdout[-2000:] + said.stderr[-2000:]
    return list(json.loads(lines[0].removeprefix("ANSWERS")))


PROMPTS = [PROMPT, "Say one word.", "1 2 3 4"]


def test_the_same_tokens_as_on_one_host(pair: Pair) -> None:
    """At temperature 0, for each of some prompts."""
    assert [pair.complete(prompt) for prompt in PROMPTS] == single(pair)


def test_32_at_once(pair: Pair) -> None:
    """All of them finish, each with its own answer."""
    prompts = [f"{number} and {number + 1} make" for number in range(32)]
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda prompt: pair.complete(prompt, 32, 180), prompts))
    assert all(together) and len(set(together)) > 1
    assert together[5] == pair.complete(prompts[5], 32)
