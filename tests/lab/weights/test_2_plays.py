# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plays about weights: killed, run twice at the same time, refused, and what they leave of a token."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import HOME, SHARD, UNDER_WAY, Fetch
from lab import ENVIRONMENT, ROOT, Play, Scenario, wait_until

# Nothing but the download; the rest of site.yml is for other scenarios.
TAGS = ("--tags", "weights")
# What plans read of a model that the catalogue does not know, and a byte from each mirror.
LOOKED_UP = 1000
TOKEN = "hf_labtoken4711"


def test_the_play_is_killed_and_run_again(fetch: Fetch, play: Callable[..., Play], killed_play: Callable[..., str]) -> None:
    """The download goes on without it, and the next play joins it."""
    fetch.mirrors[0].behave(rate=500_000)
    killed_play(lambda: fetch.there() > 0, "the download is under way", *TAGS)
    assert fetch.unit.show("ActiveState") == "activating"
    run = play(*TAGS)
    assert run.status == 0, run.output
    fetch.check(UNDER_WAY)


def test_two_plays_at_the_same_time(fetch: Fetch, scenario: Scenario) -> None:
    """One download for both, and for both services of the host."""
    both = [
        subprocess.Popen(
            scenario.command(*TAGS), cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _number in range(2)
    ]
    for process in both:
        output = process.communicate(timeout=120)[0]
        assert process.returncode == 0, output
    fetch.check(LOOKED_UP)


def test_a_changed_file_is_mended(fetch: Fetch, play: Callable[..., Play]) -> None:
    """A complete model whose file changed is not complete: that file is fetched again, and nothing else."""
    fetch.run()
    assert not fetch.starts_at_boot(), "a download that has finished starts at the next boot"
    fetch.host.run_expect([0], f"printf wrong | dd of={HOME}/main/model-00002-of-00006.safetensors bs=1 seek=1000 conv=notrunc status=none")
    for mirror in fetch.mirrors:
        mirror.forget()
    run = play(*TAGS)
    assert run.status == 0, run.output
    assert SHARD <= fetch.sent <= SHARD + LOOKED_UP
    fetch.mirrors[0].forget()
    run = play(*TAGS)
    assert run.status == 0 and run.recap["lab-gpu1"]["changed"] == 0, run.output
    assert fetch.sent <= LOOKED_UP, "a complete model was asked for"
    assert not fetch.starts_at_boot()


def test_gated(fetch: Fetch, play: Callable[..., Play], scenario: Scenario, tmp_path: Path) -> None:
    """Without a token: one error with the page where the license is accepted, and nothing changed. With it: complete, and the token
    stands nowhere but in its file."""
    for mirror in fetch.mirrors:
        mirror.behave(token=TOKEN)
    # The plan's own look at the model would be refused before.
    refused = play(*TAGS, variables={"plan_lookup": False})
    assert refused.status != 0 and "https://huggingface.co/lab/shards" in refused.output and "401" in refused.output, refused.output
    assert refused.recap["lab-gpu1"]["changed"] == 0
    fetch.mirrors[0].behave(token=TOKEN, rate=500_000)
    log = tmp_path / "play.log"
    # Into a file: nobody reads a pipe meanwhile, and a full one would hold the play up.
    with log.open("w", encoding="utf-8") as written:
        process = subprocess.Popen(
            scenario.command(*TAGS, "--diff", "-v", variables={"weights_token": TOKEN}), cwd=ROOT, env=ENVIRONMENT, text=True,
            stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT,
        )
    wait_until(lambda: fetch.there() or process.poll() is not None, 200, "the download is under way")
    shown = fetch.host.run("ps -eo args").stdout + fetch.unit.show("Environment") + fetch.unit.show("ExecStart")
    fetch.mirrors[0].behave(token=TOKEN)
    process.wait(timeout=120)
    output = log.read_text(encoding="utf-8")
    assert process.returncode == 0, output
    fetch.check(UNDER_WAY)
    assert "curl" in shown and TOKEN not in shown
    assert TOKEN not in output and TOKEN not in fetch.unit.journal(200)
    file = fetch.host.file("/etc/inferops/weights.env")
    assert (file.user, file.mode) == ("root", 0o600) and TOKEN in file.content_string
    # In brackets, so that what sudo writes of this very command is not found.
    found = fetch.host.run(f"grep -rl '{TOKEN[:-1]}[{TOKEN[-1]}]' /etc /opt /var/lib/inferops /var/log 2>/dev/null").stdout.split()
    assert found == ["/etc/inferops/weights.env"], found
    sent = fetch.mirrors[1].files()
    assert sum(row["tokens"] for row in sent.values()) == 0, "an endpoint that is not to see the token did"
    run = play(*TAGS, variables={"plan_lookup": False})
    assert run.status == 0 and fetch.host.file("/etc/inferops/weights.env").exists, run.output


def test_a_revision_that_is_not_there(fetch: Fetch, play: Callable[..., Play]) -> None:
    """By an error of the plan where the controller reaches the mirror, by the host's own question where not."""
    service: dict[str, Any] = {"name": "first", "model": "lab/shards", "port": 8001, "gpus": [0], "revision": "0" * 40}
    for lookup, says in ((True, "it is not available"), (False, "no such repository or revision")):
        run = play(*TAGS, variables={"model_services": [service], "plan_lookup": lookup})
        assert run.status != 0 and says in run.output and "RevisionNotFound" not in run.output, run.output
        assert run.recap["lab-gpu1"]["changed"] == 0


def test_no_mirror_answers_the_play(fetch: Fetch, play: Callable[..., Play]) -> None:
    for mirror in fetch.mirrors:
        mirror.behave(gone=True)
    run = play(*TAGS, variables={"plan_lookup": False})
    assert run.status != 0, run.output
    assert all(f"{mirror.url} answered no usable answer" in run.output for mirror in fetch.mirrors), run.output


def test_bad_input(fetch: Fetch, play: Callable[..., Play]) -> None:
    """All of it at once, and nothing changed."""
    bad = {"weights_tool": "hf", "weights_min_rate": -1, "weights_max_workers": 0, "weights_token_endpoints": ["hub"], "weights_stall_timeout": "long"}
    run = play(*TAGS, variables=bad)
    assert run.status != 0
    assert [name for name in bad if f"key:     {name}" not in run.output] == [], run.output
    assert json.dumps(fetch.sent) == "0"
