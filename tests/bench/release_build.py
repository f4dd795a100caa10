# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Seconds for the build of a release, verification included, on a host that has one: uv with an empty cache, uv again, plain pip. Run by release_build.sh.

Each builds the newest release of the host once more, in a scratch folder that goes afterwards. pip is given the lock, since it knows no
overrides: it is spared the resolving that uv does. All three end with the same verification.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import time

LIBRARY = "/opt/inferops/lib/current"
SCRATCH = "/var/tmp/inferops-bench"


def build(spec: dict[str, object], cache: str) -> float:
    """Build with the role's own script; return seconds."""
    spec = {**spec, "path": f"{SCRATCH}/releases/{spec['name']}", "cache_dir": cache, "status_file": f"{SCRATCH}/status.json"}
    with open(f"{SCRATCH}/job.json", "w", encoding="utf-8") as file:
        json.dump(spec, file)
    shutil.rmtree(f"{SCRATCH}/releases", ignore_errors=True)
    os.makedirs(f"{SCRATCH}/releases")
    start = time.monotonic()
    done = subprocess.run(["/usr/bin/python3", LIBRARY, "release.build", f"{SCRATCH}/job.json"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        with open(f"{SCRATCH}/status.json", encoding="utf-8") as file:
            raise SystemExit(f"{done.stdout}\n{file.read()}")
    return time.monotonic() - start


def build_with_pip(spec: dict[str, object]) -> float:
    """Install the lock with pip into a bare environment and verify it; return seconds."""
    lock = f"{SCRATCH}/requirements.lock"
    shutil.copy(f"{SCRATCH}/releases/{spec['name']}/requirements.lock", lock)
    shutil.rmtree(f"{SCRATCH}/releases")
    with open(f"{SCRATCH}/job.json", encoding="utf-8") as file:
        index = json.load(file)["index"]
    links = [word for link in index["find_links"] for word in ("--find-links", link, "--trusted-host", link.split("/")[2])]
    environment = {**os.environ, "PIP_CERT": "/etc/ssl/certs/ca-certificates.crt", **({"PIP_INDEX_URL": index["index_url"]} if index["index_url"] else {})}
    venv = f"{SCRATCH}/pip"
    start = time.monotonic()
    subprocess.run(["/usr/bin/python3", "-m", "venv", venv], check=True)
    subprocess.run([f"{venv}/bin/pip", "install", "--quiet", "--no-cache-dir", "--no-deps", *links, "--requirement", lock], check=True, env=environment)
    subprocess.run([f"{venv}/bin/python", LIBRARY, f"release.verify_{spec['engine']}"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env={**environment, "HOME": SCRATCH})
    return time.monotonic() - start


def newest_job() -> dict[str, object]:
    """What the newest build from the indexes was told."""
    jobs = []
    for path in sorted(glob.glob("/var/lib/inferops/jobs/release-*.json"), key=os.path.getmtime):
        with open(path, encoding="utf-8") as file:
            jobs.append(json.load(file))
    return [job for job in jobs if job.get("source", {}).get("kind") == "index" and not job["index"]["no_index"]][-1]


def main() -> None:
    spec = newest_job()
    shutil.rmtree(SCRATCH, ignore_errors=True)
    os.makedirs(SCRATCH, mode=0o700)
    try:
        for label, seconds in (
            ("uv, empty cache", lambda: build(spec, f"{SCRATCH}/cache")),
            ("uv, full cache", lambda: build(spec, f"{SCRATCH}/cache")),
            ("pip, from uv's lock", lambda: build_with_pip(spec)),
        ):
            print(f"  {label:<20} {seconds():7.1f} s", flush=True)
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)


if __name__ == "__main__":
    main()
