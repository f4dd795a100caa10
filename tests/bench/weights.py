#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How fast weights arrive: this collection's download, with verification, against `hf download` and `curl` without.

    tests/bench/weights.py [--bytes 2147483648] [--shards 8] [--rounds 3] [--hf PATH] [--folder FOLDER]

Everything runs on this machine: the lab's mirror, a repository of random bytes, the programs one after another in rounds, so that what
else the machine does hits all of them. Prints seconds, bytes a second, processor seconds and peak memory of each program (the mirror's
own are not counted), the ratios of the best rounds, and the rate of verification against sha256sum of the same files.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "tools"))

from make_repository import make  # noqa: E402

REPO = "bench/shards"
LIBRARY = ROOT / "plugins" / "module_utils"


@dataclass
class Run:
    """One run of a program: wall-clock and processor seconds, and the largest sum of its processes' memory in bytes."""

    seconds: float
    cpu: float
    memory: int


def measure(command: list[str], folder: Path, environment: dict[str, str], given: str = "") -> Run:
    """Run a program in an empty folder. Raises RuntimeError when it fails."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.sync()
    before, began = os.times(), time.monotonic()
    with (folder.parent / "said").open("w+") as said:
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=said, stderr=said, text=True)
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.close()
        most = 0
        while process.poll() is None:
            most = max(most, memory_of(process.pid))
            time.sleep(0.1)
        seconds, after = time.monotonic() - began, os.times()
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{command[0]} ended with status {process.returncode}:\n{said.read()[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(seconds, cpu, most)


def memory_of(pid: int) -> int:
    """Resident memory of a process and those that it started, in bytes."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task").glob("*/children")
        return pages * os.sysconf("SC_PAGE_SIZE") + sum(memory_of(int(child)) for path in children for child in path.read_text().split())
    except (OSError, IndexError):
        return 0  # ended meanwhile


def specification(about: dict[str, Any], commit: str, url: str, folder: Path, workers: int) -> dict[str, Any]:
    """What the role would tell the program."""
    rows = [row for row in about["revisions"][commit]["files"] if row["path"].endswith(".safetensors")]
    return {
        "repo": REPO, "revision": commit, "commit": commit, "endpoint": url, "endpoints": [url], "token_endpoints": [],
        "files": [{"path": row["path"], "size": row["size"], "sha256": row["lfs"]["oid"]} for row in rows],
        "max_workers": workers, "min_rate": 1_000_000, "rate_seconds": 60, "stall_timeout": 60,
        "path": str(folder / "out"), "manifest": str(folder / "out.manifest.json"), "status_file": str(folder / "status.json"),
    }


def main() -> None:
    """Make, serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bytes", type=int, default=2 * 1024**3, help="size of the repository")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=8, help="files at the same time, for all programs")
    parser.add_argument("--hf", default=shutil.which("hf"), help="the official client; without one it is left out")
    parser.add_argument("--folder", type=Path, help="where to work; needs three times the bytes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        bench(Path(name), options)


def install(folder: Path) -> Path:
    """Put the host library together as a host has it."""
    shutil.copytree(LIBRARY, folder / "inferops_gpu")
    shutil.copy(LIBRARY / "_main.py", folder / "__main__.py")
    return folder


def bench(base: Path, options: argparse.Namespace) -> None:
    models, folder = base / "models", base / "work"
    models.mkdir()
    commit = make(models, REPO, options.shards, options.bytes // options.shards)
    about = json.loads((models / REPO.replace("/", "--") / "repo.json").read_text())
    mirror = subprocess.Popen(
        [sys.executable, str(ROOT / "lab" / "mirror" / "hub_mirror.py"), f"--models={models}", f"--wheels={base}", "--address=127.0.0.1", "--port=28999"],
        stderr=subprocess.DEVNULL,
    )
    url = "http://127.0.0.1:28999"
    try:
        wait_for(url)
        spec = specification(about, commit, url, folder, options.workers)
        (base / "spec.json").write_text(json.dumps(spec))
        urls = "\n".join(f'url = "{url}/{REPO}/resolve/{commit}/{file["path"]}"\nremote-name' for file in spec["files"])
        hf_environment = {"HF_ENDPOINT": url, "HF_HOME": str(base / "home"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        programs: dict[str, tuple[list[str], dict[str, str], str]] = {
            "this role": ([sys.executable, str(install(base / "library")), "fetch", str(base / "spec.json")], {}, ""),
            "curl": (["curl", "--disable", "--silent", "--parallel", "--parallel-max", str(options.workers), "--config", "-"], {}, urls),
        }
        if options.hf:
            arguments = ["download", REPO, "--revision", commit, "--local-dir", "out", "--include", "*.safetensors", f"--max-workers={options.workers}"]
            programs["hf download"] = ([options.hf, *arguments], hf_environment, "")
        runs: dict[str, list[Run]] = {name: [] for name in programs}
        for _round in range(options.rounds):
            for name, (command, environment, given) in programs.items():
                runs[name].append(measure(command, folder, environment, given))
        report(runs, options.bytes)
        verification(programs["this role"][0], base, folder, spec, options.bytes)
    finally:
        mirror.terminate()
        mirror.wait()


def wait_for(url: str) -> None:
    """Wait until the mirror answers."""
    for _try in range(100):
        try:
            urllib.request.urlopen(f"{url}/_lab/stats", timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the mirror does not answer: is port 28999 taken?")


def report(runs: dict[str, list[Run]], size: int) -> None:
    """The best round of each program, and what the role's is to the others'."""
    best = {name: min(done, key=lambda run: run.seconds) for name, done in runs.items()}
    print(f"{size} bytes from a mirror on this machine, {os.cpu_count()} processors; best of {len(runs['this role'])} rounds (all rounds)")
    for name, run in best.items():
        every = " ".join(f"{one.seconds:.1f}" for one in runs[name])
        print(f"  {name:12} {run.seconds:6.2f} s ({every})  {size / run.seconds / 1e6:6.0f} MB/s  {run.cpu:5.1f} CPU s  {run.memory / 1e6:5.0f} MB memory")
    for name in runs:
        if name != "this role":
            print(f"  this role, verification included, to {name} without: {best[name].seconds / best['this role'].seconds:.2f} of its throughput")


def verification(program: list[str], base: Path, folder: Path, spec: dict[str, Any], size: int) -> None:
    """Hash what lies there: by the program, told to forget what it verified, and by sha256sum."""
    measure(program, folder, {})
    Path(spec["manifest"]).unlink()
    began = time.monotonic()
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    ours = time.monotonic() - began
    began = time.monotonic()
    subprocess.run(["sha256sum", *(file["path"] for file in spec["files"])], cwd=spec["path"], check=True, stdout=subprocess.DEVNULL)
    theirs = time.monotonic() - began
    print(f"verification: {size / ours / 1e6:.0f} MB/s, {theirs / ours:.2f} times sha256sum's {size / theirs / 1e6:.0f} MB/s ({base.name})".replace(f" ({base.name})", ""))


if __name__ == "__main__":
    main()
