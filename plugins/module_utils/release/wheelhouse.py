# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill a folder with the wheels of a release, from its lock file, so that the same release can be built without a network.

Usage, as root on a host with the release: release.wheelhouse JOB FOLDER, where JOB is the specification of its build (jobs/release-<name>.json in
the state directory). Every file is checked against the lock file's hashes. Packages without a wheel in the index are built; wheels of
the release's own source are copied. PIP_EXTRA_INDEX_URL adds an index, such as PyTorch's when vllm_torch_backend has chosen it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import typing as t
from urllib.parse import urlsplit

from .source import WHEELS
from .steps import TRUST_STORE, BuildError, is_managed, netrc_environment, run


def pip_environment(spec: dict[str, t.Any]) -> dict[str, str]:
    """Return the environment for pip: the indexes of the build, and those of the caller's environment."""
    index = spec["index"]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **netrc_environment(spec)}
    if os.path.exists(TRUST_STORE):
        environment["PIP_CERT"] = TRUST_STORE
    if index["index_url"]:
        environment["PIP_INDEX_URL"] = index["index_url"]
    for name, values in (("PIP_EXTRA_INDEX_URL", index["extra_index_urls"]), ("PIP_FIND_LINKS", index["find_links"])):
        words = [*values, *os.environ.get(name, "").split()]
        if words:
            environment[name] = " ".join(words)
    # Trust indexes without TLS: every file is checked against the lock file's hashes.
    addresses = [environment.get(name, "") for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")]
    plain = [urlsplit(address).netloc.rpartition("@")[2] for address in " ".join(addresses).split() if address.startswith("http://")]
    if plain:
        environment["PIP_TRUSTED_HOST"] = " ".join([*plain, *os.environ.get("PIP_TRUSTED_HOST", "").split()])
    return environment


def fill(spec: dict[str, t.Any], folder: str) -> list[str]:
    """Fill the folder and return the names of its wheels. Raises BuildError."""
    os.makedirs(folder, exist_ok=True)
    own = os.path.join(spec["path"], WHEELS)
    kept = os.listdir(own) if os.path.isdir(own) else []
    for name in kept:
        shutil.copy2(os.path.join(own, name), folder)
    environment = pip_environment(spec)
    if kept:
        environment["PIP_FIND_LINKS"] = " ".join(filter(None, [environment.get("PIP_FIND_LINKS", ""), own]))
    with tempfile.TemporaryDirectory() as work:
        python = os.path.join(spec["path"], "bin", "python") if is_managed(spec["python"]) else spec["python"]
        run([python, "-m", "venv", work], environment, "install python3-venv")
        options = ["--no-index"] if spec["index"]["no_index"] else []
        run([os.path.join(work, "bin", "pip"), "wheel", "--quiet", "--no-deps", "--require-hashes", *options, "--wheel-dir", folder,
             "--requirement", os.path.join(spec["path"], "requirements.lock")], environment, "make sure that the host can reach the package indexes")
    return sorted(name for name in os.listdir(folder) if name.endswith(".whl"))


def main() -> int:
    """Print how many wheels there are, or the error."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    try:
        wheels = fill(spec, sys.argv[2])
    except (BuildError, OSError) as error:
        print(f"{error}. Fix: {getattr(error, 'fix', 'make sure that the disk has free space and is writable')}", file=sys.stderr)
        return 1
    print(f"{len(wheels)} wheels of {spec['name']} in {sys.argv[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
