# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many long prompts at once on an engine, for minutes: the supervisor must not take a busy engine for one that hangs.

    tests/bench/busy_engine.py URL MODEL --key KEY --ssh "ssh -F .lab/ssh/config-… HOST" --unit vllm-NAME [--streams 32] [--seconds 180] [--words 1500]

Each stream sends a prompt of its own after the other, so that no prefix is in a cache. Prints requests, their latencies, the statuses that systemd
was told, and the unit's restarts.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import statistics
import subprocess
import threading
import time
import urllib.request


def stream(options: argparse.Namespace, number: int, ends: float, latencies: list[float], errors: list[str]) -> None:
    """Send requests, one after the other."""
    words = random.Random(number)
    while time.monotonic() < ends:
        body = {"model": options.model, "prompt": " ".join(str(words.randrange(10)) for _word in range(options.words)), "max_tokens": options.tokens}
        request = urllib.request.Request(
            f"{options.url}/v1/completions", json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {options.key}"},
        )
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                answer.read()
        except OSError as error:
            errors.append(str(error))
            return
        latencies.append(time.monotonic() - began)


def shown(options: argparse.Namespace) -> dict[str, str]:
    """What systemd reports of the unit."""
    command = [*shlex.split(options.ssh), "sudo systemctl show --property=StatusText,NRestarts,MainPID,CPUUsageNSec " + options.unit]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--key", default="")
    parser.add_argument("--ssh", required=True)
    parser.add_argument("--unit", required=True)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--words", type=int, default=1500)
    parser.add_argument("--tokens", type=int, default=16)
    options = parser.parse_args()
    latencies: list[float] = []
    errors: list[str] = []
    statuses: set[str] = set()
    before = shown(options)
    ends = time.monotonic() + options.seconds
    threads = [threading.Thread(target=stream, args=(options, number, ends, latencies, errors)) for number in range(options.streams)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        statuses.add(shown(options)["StatusText"])
        time.sleep(2)
    after = shown(options)
    print(f"{len(latencies)} requests by {options.streams} streams, {len(errors)} errors {sorted(set(errors))}")
    if latencies:
        print(f"seconds for an answer: median {statistics.median(latencies):.1f}, most {max(latencies):.1f}")
    print("statuses:", *sorted(statuses), sep="\n  ")
    print(f"restarts: {int(after['NRestarts']) - int(before['NRestarts'])}; main process {before['MainPID']} -> {after['MainPID']}")


if __name__ == "__main__":
    main()
