# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build one release in its own folder, verify it, and only then give it its final name.

Runs on the host as a systemd unit. Usage: release.build SPECIFICATION.json, with the keys that roles/vllm/tasks/build.yml writes.
The folder is built as .building-<name>. The build then verifies that the engine can be imported, has the requested version, can build its
command-line parser, and passes the verify_commands of the specification. Then it writes release.json, syncs everything to the disk and renames
the folder. A folder without its final name is never used.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import typing as t

from .. import _library, _releases, _writing
from . import power, source
from .steps import BuildError, Status, is_managed, run, uv_environment

# The keys of the specification that are kept in release.json: those that the name of the release depends on. Not the indexes: they may have credentials.
KEPT = ("name", "engine", "package", "version", "source", "requirements", "overrides", "python", "torch_backend", "build_environment", "verify_commands")


def resolve(spec: dict[str, t.Any], folder: str, engine: str, excluded: list[str]) -> list[str]:
    """Resolve everything in one step into a lock file with hashes; return its pins, such as torch==2.13.0. Raises BuildError."""
    requirements, overrides, constraints, lock = (
        os.path.join(folder, name) for name in ("requirements.in", "overrides.txt", "constraints.txt", "requirements.lock")
    )
    write_lines(requirements, [engine, *spec["requirements"]])
    write_lines(overrides, spec["overrides"])
    write_lines(constraints, excluded)
    # Pre-releases are allowed only for the engine itself.
    newest = ["--prerelease-package", spec["package"].partition("[")[0] + "=allow"] if spec["source"]["kind"] == "nightly" else []
    run([spec["uv"], "pip", "compile", "--quiet", *newest, *no_index(spec), "--python", os.path.join(folder, "bin", "python"),
         "--generate-hashes", "--no-header", "--overrides", overrides, "--constraints", constraints, "--output-file", lock, requirements],
        uv_environment(spec, wheels(folder)), "make sure that the version exists and that the host can reach the package indexes "
        "(vllm_version, vllm_source, vllm_requirements, vllm_index_url, vllm_find_links)")
    with open(lock, encoding="utf-8") as file:
        return [line.split()[0] for line in file if "==" in line and not line.startswith((" ", "#"))]


def resolve_for_accelerator(spec: dict[str, t.Any], folder: str, engine: str, status: Status) -> list[str]:
    """Resolve. When find-links have a CPU build of torch and the release is for an accelerator, resolve again without it.

    A local version counts as newer, so torch==2.13.0+cpu from find-links takes precedence over the index's torch==2.13.0. Raises BuildError.
    """
    status.write("resolving " + ", ".join([engine, *spec["requirements"]]))
    pins = resolve(spec, folder, engine, [])
    wrong = cpu_torch(pins)
    if wrong and not spec["cpu"]:
        status.write(f"resolving again without {wrong}, which is a CPU build")
        pins = resolve(spec, folder, engine, [wrong.replace("==", "!=")])
        if cpu_torch(pins):
            raise BuildError(f"only {cpu_torch(pins)} is available, which is a CPU build",
                             "set an index that has torch for this host's GPUs (vllm_index_url, vllm_torch_backend), or request a CPU build (+cpu)")
    return pins


def cpu_torch(pins: list[str]) -> str:
    """Return the pin of torch when its version says that it is a CPU build; otherwise empty."""
    return next((pin for pin in pins if pin.startswith("torch==") and "cpu" in pin.partition("+")[2].split(".")), "")


def install(spec: dict[str, t.Any], folder: str, status: Status) -> dict[str, str]:
    """Create the environment, resolve everything into a lock file, install from it, and return the resolved source."""
    uv, python = spec["uv"], os.path.join(folder, "bin", "python")
    status.write(f"creating the environment with Python {spec['python']}")
    missing = "make sure that the host can reach GitHub, or set vllm_python_mirror to a mirror of uv's Pythons, or vllm_python to an interpreter of the host"
    run([uv, "venv", "--relocatable", "--python", spec["python"], folder], uv_environment(spec),
        missing if is_managed(spec["python"]) else "make sure that vllm_python exists on the host")
    engine, resolved = source.engine(spec, folder, status)
    pins = resolve_for_accelerator(spec, folder, engine, status)
    status.write(f"installing {len(pins)} packages")
    # --no-deps: the lock file is complete, and a second resolution would undo the overrides.
    run([uv, "pip", "install", "--quiet", *no_index(spec), "--python", python, "--no-deps", "--require-hashes",
         "--requirements", os.path.join(folder, "requirements.lock")], uv_environment(spec, wheels(folder)),
        "make sure that the host can reach the package indexes")
    # uv's lock file, which is world-writable.
    if os.path.exists(os.path.join(folder, ".lock")):
        os.unlink(os.path.join(folder, ".lock"))
    return resolved


def no_index(spec: dict[str, t.Any]) -> list[str]:
    """Return the argument that keeps uv from every index; uv has no variable for it."""
    return ["--no-index"] if spec["index"]["no_index"] else []


def wheels(folder: str) -> str:
    """Return the folder of the wheels that were built or fetched from the source; it exists only when there are some."""
    return os.path.join(folder, source.WHEELS)


def write_lines(path: str, lines: list[str]) -> None:
    """Write a text file of one entry a line."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))


def verify(spec: dict[str, t.Any], folder: str, status: Status) -> dict[str, t.Any]:
    """Verify the engine with the release's own interpreter, then run the verify_commands; return the result of the first. Raises BuildError."""
    status.write("verifying imports, version and command line")
    environment = {**os.environ, "HOME": folder, "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    command = [os.path.join(folder, "bin", "python"), _library.root(), f"release.verify_{spec['engine']}"]
    said = run(command, environment, "the packages are not compatible with each other: change vllm_requirements or vllm_overrides")
    found: dict[str, t.Any] = json.loads(said.splitlines()[-1])
    if not fits(found["version"], spec):
        raise BuildError(f"{spec['engine']} {found['version']} was installed instead of {spec['version']}",
                         "check which version the source, vllm_requirements and the indexes provide, and set vllm_version to it")
    if not spec["cpu"] and not found["accelerator"]:
        raise BuildError(f"torch {found['torch']} is a CPU build",
                         "check which torch the indexes and vllm_find_links provide (vllm_torch_backend), or request a CPU build (+cpu)")
    for number, command in enumerate(spec["verify_commands"], start=1):
        status.write(f"verification {number} of {len(spec['verify_commands'])}: {_library.program_of(command)}")
        run(command, {**os.environ, "HOME": folder}, "", folder)
    return found


def fits(found: str, spec: dict[str, t.Any]) -> bool:
    """Whether a version is the requested one. For a source without an exact version only major and minor have to match."""
    found, wanted = (text.partition("+")[0] for text in (found, spec["version"]))
    return found == wanted if spec["source"]["kind"] == "index" else line(found) == line(wanted)


def line(version: str) -> list[str]:
    """Return major and minor of a version: within them, command-line flags do not change."""
    return version.split(".")[:2]


def build(spec: dict[str, t.Any], status: Status) -> None:
    """Build the release unless it exists already. Raises BuildError."""
    directory = os.path.dirname(spec["path"])
    folder = os.path.join(directory, _releases.BUILDING + spec["name"])
    if spec["name"] in _releases.complete(directory):
        status.write("the release exists already")
        return
    # Left by a killed build, or created by hand: neither can be trusted.
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(spec["path"], ignore_errors=True)
    # The releases in use now count as used until this moment, so pruning keeps them before older ones.
    _releases.mark_used(directory)
    start = time.monotonic()
    if power.interrupted(spec["cache_dir"]):
        status.write("emptying uv's cache: the host lost its power during an earlier build, so packages in the cache may be incomplete")
        run([spec["uv"], "cache", "clean"], uv_environment(spec), f"remove {spec['cache_dir']} by hand")
    power.mark(spec["cache_dir"], spec["name"])
    try:
        resolved = install(spec, folder, status)
        found = verify(spec, folder, status)
        record = {key: spec[key] for key in KEPT}
        record.update(resolved=resolved, verification=found, seconds=round(time.monotonic() - start, 1), built=int(time.time()))
        with open(os.path.join(folder, _releases.RECORD), "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        # A power cut must not leave the final name with empty files.
        _writing.sync_filesystem(folder)
        os.rename(folder, spec["path"])
        _writing.sync_filesystem(directory)
    finally:
        # A failed build is useless and takes several GiB.
        shutil.rmtree(folder, ignore_errors=True)
        power.unmark(spec["cache_dir"], spec["name"])
    status.write(f"complete in {time.monotonic() - start:.0f} s: {spec['engine']} {found['version']}, torch {found['torch']}, CUDA {found['cuda'] or 'none'}")


def main() -> int:
    """Build what the specification names; report to systemd by the exit status and to the play by the status file."""
    os.umask(0o022)
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    status = Status(spec["status_file"])
    try:
        build(spec, status)
    except BuildError as error:
        status.write("failed", error=str(error), fix=error.fix)
        return 1
    except OSError as error:
        status.write("failed", error=str(error), fix="make sure that the disk has free space and is writable, and run the playbook again")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
