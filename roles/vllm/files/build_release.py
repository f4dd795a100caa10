# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build one vLLM release in a folder of its own, prove it, and only then give it its name.

Runs on the host as a systemd unit. Usage: build_release.py SPECIFICATION.json, with the keys that vllm/tasks/build.yml writes.
The folder is built as .building-<name>. When what was installed imports, has the version that was asked for, and builds its
command-line parser, release.json is written into it and it is renamed. A folder without its final name is never used.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import typing as t

TRUST_STORE = "/etc/ssl/certs/ca-certificates.crt"


class BuildError(Exception):
    """A step that failed: what happened, and the way out."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


class Status:
    """The file in which a play reads how far the build is."""

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, text: str, **values: t.Any) -> None:
        """Replace the file in one step, and say the same to the journal."""
        new = self.path + ".new"
        with open(new, "w", encoding="utf-8") as file:
            json.dump({"text": text, **values}, file)
        os.replace(new, self.path)
        print(text, flush=True)


def uv_environment(spec: dict[str, t.Any]) -> dict[str, str]:
    """Return the environment for uv. Index addresses may hold credentials, so they are never arguments."""
    index = spec["index"]
    environment = {**os.environ, "UV_CACHE_DIR": spec["cache_dir"], "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    if os.path.exists(TRUST_STORE):
        environment["SSL_CERT_FILE"] = TRUST_STORE
    if index["index_url"]:
        environment["UV_DEFAULT_INDEX"] = index["index_url"]
    if index["extra_index_urls"]:
        environment["UV_INDEX"] = " ".join(index["extra_index_urls"])
    if index["find_links"]:
        environment["UV_FIND_LINKS"] = " ".join(index["find_links"])
    if spec["torch_backend"]:
        environment["UV_TORCH_BACKEND"] = spec["torch_backend"]
    return environment


def run(command: list[str], environment: dict[str, str], remedy: str) -> str:
    """Run one step and return what it printed. Raises BuildError with its last words."""
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode != 0:
        print(done.stdout, flush=True)
        raise BuildError(f"{os.path.basename(command[0])} {command[1]} ended with status {done.returncode}: {last_words(done.stdout)}", remedy)
    return done.stdout


def last_words(text: str) -> str:
    """Return the end of a program's output on one line: what a person needs to see first."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-6:])[-900:] or "no output"


def install(spec: dict[str, t.Any], folder: str, status: Status) -> None:
    """Make the environment, resolve everything in one step into a lock, and install just that."""
    uv, environment = spec["uv"], uv_environment(spec)
    status.write(f"making the environment on {spec['python']}")
    run([uv, "venv", "--relocatable", "--python", spec["python"], folder], environment, "see that vllm_python is there")
    requirements, overrides, lock = (os.path.join(folder, name) for name in ("requirements.in", "overrides.txt", "requirements.lock"))
    write_lines(requirements, spec["requirements"])
    write_lines(overrides, spec["overrides"])
    status.write("resolving " + ", ".join(spec["requirements"]))
    wrong = "see that the version exists and that the host reaches the package indexes (vllm_version, vllm_requirements, vllm_index_url, vllm_find_links)"
    python = os.path.join(folder, "bin", "python")
    run([uv, "pip", "compile", "--quiet", "--python", python, "--generate-hashes", "--no-header", "--overrides", overrides,
         "--output-file", lock, requirements], environment, wrong)
    packages = sum(1 for line in open(lock, encoding="utf-8") if "==" in line and not line.startswith((" ", "#")))
    status.write(f"installing {packages} packages")
    # --no-deps: the lock is complete, and overrides must not be undone by a second look at the packages' own wishes.
    run([uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--requirements", lock], environment, wrong)
    # uv's own lock, which everybody may write.
    if os.path.exists(os.path.join(folder, ".lock")):
        os.unlink(os.path.join(folder, ".lock"))


def write_lines(path: str, lines: list[str]) -> None:
    """Write a text file of one entry a line."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))


def prove(spec: dict[str, t.Any], folder: str, status: Status) -> dict[str, t.Any]:
    """Run the release's own interpreter on the proof and return what it found. Raises BuildError."""
    status.write("proving imports, version and command line")
    environment = {**os.environ, "HOME": folder, "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    proof = os.path.join(os.path.dirname(os.path.abspath(__file__)), "prove_release.py")
    said = run([os.path.join(folder, "bin", "python"), proof], environment, "the packages do not fit together: change vllm_requirements or vllm_overrides")
    found = json.loads(said.splitlines()[-1])
    wanted = spec["version"].partition("+")[0]
    if found["vllm"].partition("+")[0] != wanted:
        raise BuildError(f"vllm {found['vllm']} was installed instead of {spec['version']}", "see what vllm_requirements and the indexes bring")
    return found


def build(spec: dict[str, t.Any], status: Status) -> None:
    """Build the release unless it stands already. Raises BuildError."""
    folder = os.path.join(os.path.dirname(spec["path"]), ".building-" + spec["name"])
    if os.path.exists(os.path.join(spec["path"], "release.json")):
        status.write("the release stands already")
        return
    # Left by a build that was killed, or by hands: neither can be trusted.
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(spec["path"], ignore_errors=True)
    start = time.monotonic()
    try:
        install(spec, folder, status)
        found = prove(spec, folder, status)
        record = {key: spec[key] for key in ("name", "version", "requirements", "overrides", "python", "torch_backend")}
        record.update(proof=found, seconds=round(time.monotonic() - start, 1))
        with open(os.path.join(folder, "release.json"), "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.rename(folder, spec["path"])
    finally:
        # Nobody can use what failed, and it is several GiB.
        shutil.rmtree(folder, ignore_errors=True)
    status.write(f"complete in {time.monotonic() - start:.0f} s: vllm {found['vllm']}, torch {found['torch']}, CUDA {found['cuda'] or 'none'}")


def main() -> int:
    """Build what the specification says; the exit status tells systemd, the status file tells the play."""
    os.umask(0o022)
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    status = Status(spec["status_file"])
    try:
        build(spec, status)
    except BuildError as error:
        status.write("failed", error=str(error), remedy=error.remedy)
        return 1
    except OSError as error:
        status.write("failed", error=str(error), remedy="see that the disk has room and is writable, and run the playbook again")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
