# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases beside the running one: from a git repository, and from an sdist and a wheelhouse on a host without a network; then pruned.

The tests run in this order, on a host that serves. None of them may disturb the service.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import ENVIRONMENT, ROOT, SSH_CONFIG, Unit
from testinfra.host import Host

sys.path.insert(0, str(ROOT / "lab" / "small_engine"))

import make_wheels  # noqa: E402

RELEASES = "/opt/inferops/releases"
JOBS = "/var/lib/inferops/jobs"
WHEELHOUSE = "/srv/wheelhouse"
GIT_VERSION = "0.32.1.dev7+cpu.small"
SDIST_VERSION = "0.32.0.post2+cpu.small"
# No other role has anything to do, and the service stays on the release that it runs on.
ONLY_RELEASES = ("--tags", "always,host,vllm")


def standing(host: Host) -> set[str]:
    """Names of the releases."""
    return set(host.check_output(f"cd {RELEASES} && ls -A").split())


def record(host: Host, name: str) -> dict[str, Any]:
    """What a release says of itself."""
    return dict(json.loads(host.file(f"{RELEASES}/{name}/release.json").content_string))


def pins(host: Host, name: str) -> dict[str, str]:
    """Versions by package of a release's lock."""
    lock = host.file(f"{RELEASES}/{name}/requirements.lock").content_string
    found = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\\n    --hash=sha256:", lock, flags=re.MULTILINE))
    assert len(found) == len([line for line in lock.splitlines() if not line.startswith((" ", "#"))]), "a pin without a hash"
    return found


# What builds an sdist: the wheelhouse has it beside the packages of the lock.
BACKEND = "hatchling==1.33.0"
PROJECT = """
[build-system]
requires = ["{backend}"]
build-backend = "hatchling.build"

[project]
name = "vllm"
version = "{version}"
requires-python = ">=3.10"
dependencies = {dependencies}

[project.scripts]
vllm = "small_engine.main:main"

[tool.hatch.build.targets.wheel]
packages = ["small_engine", "vllm"]
"""


def project(folder: Path, version: str) -> Path:
    """The small engine as a source tree, under another version."""
    for path, text in make_wheels.sources(version).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (folder / "pyproject.toml").write_text(PROJECT.format(backend=BACKEND, version=version, dependencies=json.dumps(make_wheels.requirements())), encoding="utf-8")
    return folder


def send(host: Host, path: Path, target: str) -> None:
    """Copies a file or folder to the host, owned by root."""
    name = host.backend.hostname
    subprocess.run(
        f"tar -C '{path}' -c . | ssh -F '{SSH_CONFIG}' {name} 'sudo mkdir -p {target} && sudo tar -C {target} --no-same-owner -x'", shell=True, check=True,
    )


@pytest.fixture(scope="module")
def running(host: Host) -> Iterator[str]:
    """The release that the service runs on; the service is the same process after all tests as before."""
    unit = Unit(host, "vllm-qwen3-235b.service")
    before = unit.main_pid
    assert before != "0"
    command = host.check_output("tr '\\0' ' ' < /proc/%s/cmdline", before)
    yield re.findall(rf"{RELEASES}/([^/]+)/", command)[0]
    assert unit.main_pid == before


@pytest.fixture(scope="module")
def from_git(host: Host, play: Callable[..., Any], running: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A release from a branch of a repository: its name, and the commit that the branch is at."""
    tree = project(tmp_path_factory.mktemp("git") / "tree", GIT_VERSION)
    git = ["git", "-C", str(tree), "-c", "user.name=lab", "-c", "user.email=lab@lab.example"]
    for words in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "--message=vLLM"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    send(host, tree / ".git", "/srv/vllm.git")
    before = standing(host)
    done = play(*ONLY_RELEASES, variables={"vllm_source": "git+file:///srv/vllm.git@main"})
    assert done.status == 0, done.output
    assert "main is not pinned and can become a different vLLM" in done.said
    [name] = standing(host) - before
    return name, commit


def test_what_a_build_is_given_is_roots_alone(host: Host) -> None:
    """The URLs of package indexes in it may have passwords."""
    files = host.check_output(f"find {JOBS} -name 'release-*.json' -not -name '*.status.json' -printf '%m %u\\n'").splitlines()
    assert files and set(files) == {"600 root"}


def test_a_branch_becomes_a_release_of_a_commit(host: Host, from_git: tuple[str, str]) -> None:
    """The record names the commit, the wheel is kept, and all of the lock has hashes."""
    name, commit = from_git
    found = record(host, name)
    assert found["resolved"] == {"commit": commit, "wheel": f"vllm-{GIT_VERSION}-py3-none-any.whl"}
    assert found["verification"]["version"] == GIT_VERSION == pins(host, name)["vllm"]
    assert host.file(f"{RELEASES}/{name}/wheels/{found['resolved']['wheel']}").exists


def test_the_service_s_release_stays_while_nobody_names_it(host: Host, play: Callable[..., Any], running: str, from_git: tuple[str, str]) -> None:
    """The inventory names the new release only, and none is to be kept: the old one is in use."""
    done = play("--tags", "always,vllm", variables={"vllm_source": "git+file:///srv/vllm.git@main", "vllm_keep_releases": 0})
    assert done.status == 0, done.output
    assert standing(host) == {running, from_git[0]}


def test_a_release_that_does_not_exist_is_told_of_and_leaves_nothing(host: Host, play: Callable[..., Any], running: str, from_git: tuple[str, str]) -> None:
    """The resolver's own words, no folder, the service untouched; the failed unit is forgotten by the next run, its journal is not."""
    done = play(*ONLY_RELEASES, variables={"vllm_version": "0.32.9+cpu.small"})
    assert done.status != 0 and "no version of vllm==0.32.9+cpu.small" in done.said and "vllm_version" in done.output, done.output
    assert standing(host) == {running, from_git[0]}
    [failed] = host.check_output("systemctl --failed --plain --no-legend").splitlines()
    unit = failed.split()[0]
    assert unit.startswith("inferops-release-vllm-0.32.9-")
    done = play("--tags", "always,vllm")
    assert done.status == 0, done.output
    assert f"Removed: {unit}" in done.said
    assert host.check_output("systemctl --failed --plain --no-legend") == ""
    assert "no version of vllm==0.32.9+cpu.small" in host.check_output("journalctl --no-pager --unit %s", unit)
    assert host.run(f"ls {JOBS}/*0.32.9*").rc != 0 and not host.file(f"/etc/systemd/system/{unit}").exists


@pytest.fixture(scope="module")
def wheelhouse(host: Host, from_git: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A wheelhouse from the lock of the release from git, with what building an sdist takes beside it; the sdist's path."""
    said = host.check_output(f"python3 /opt/inferops/lib/current release.wheelhouse {JOBS}/release-{from_git[0]}.json {WHEELHOUSE}")
    assert said.split()[0] == str(len(pins(host, from_git[0])))
    base = tmp_path_factory.mktemp("sdist")
    tree = project(base / "tree", SDIST_VERSION)
    uv = str(Path(ENVIRONMENT.get("VENV", ROOT / ".venv")) / "bin" / "uv")
    subprocess.run([uv, "build", "--quiet", "--sdist", "--out-dir", str(base / "out"), str(tree)], check=True)
    python = str(Path(uv).parent / "python")
    subprocess.run(
        [python, "-m", "pip", "--quiet", "download", "--only-binary=:all:", "--python-version=3.11", "--dest", str(base / "out"), BACKEND],
        check=True,
    )
    send(host, base / "out", WHEELHOUSE)
    return f"{WHEELHOUSE}/vllm-{SDIST_VERSION}.tar.gz"


@pytest.fixture
def no_network(host: Host) -> Iterator[None]:
    """Takes the host's default route and its resolver away: whoever is not in the lab's own network is out of reach."""
    route = host.check_output("ip route show default")
    host.run_expect([0], "ip route del default && cp /etc/resolv.conf /run/resolv.conf && : > /etc/resolv.conf")
    assert host.run("timeout 5 python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 3)'").rc != 0
    yield
    host.run_expect([0], f"cat /run/resolv.conf > /etc/resolv.conf; ip route add {route}")


def test_no_network_and_a_full_wheelhouse(host: Host, play: Callable[..., Any], from_git: tuple[str, str], wheelhouse: str, no_network: None) -> None:
    """An sdist becomes a release of the very packages that the wheelhouse was made from; uv's cache has nothing of them."""
    before = standing(host)
    offline = {"vllm_no_index": True, "vllm_find_links": [WHEELHOUSE], "vllm_uv_cache_dir": "/var/cache/inferops/uv-empty"}
    done = play("--tags", "always,vllm", variables={"vllm_source": wheelhouse, **offline})
    assert done.status == 0, done.output
    [name] = standing(host) - before
    assert record(host, name)["verification"]["version"] == SDIST_VERSION
    assert {**pins(host, name), "vllm": ""} == {**pins(host, from_git[0]), "vllm": ""}
    host.run("rm -r /var/cache/inferops/uv-empty %s", WHEELHOUSE)


def test_releases_that_nothing_needs_go(host: Host, play: Callable[..., Any], running: str, from_git: tuple[str, str]) -> None:
    """Of the two that no service names one is kept, the newer one; a folder that is not ours stays; the next run finds nothing to do."""
    host.run_expect([0], f"mkdir {RELEASES}/.building-vllm-0.1.0-dead {RELEASES}/mine && echo '{{}}' > {RELEASES}/mine/release.json")
    before = standing(host)
    checked = play("--tags", "always,vllm", "--check", variables={"vllm_keep_releases": 1})
    assert f"Would be removed: .building-vllm-0.1.0-dead, {from_git[0]}, " in checked.said, checked.output
    assert standing(host) == before
    done = play("--tags", "always,vllm", variables={"vllm_keep_releases": 1})
    assert done.status == 0, done.output
    assert before - standing(host) == {from_git[0], ".building-vllm-0.1.0-dead"}
    freed = re.search(r"(\d+\.\d+) GB freed", done.said)
    assert freed and float(freed[1]) > 0, done.output
    again = play("--tags", "always,vllm", variables={"vllm_keep_releases": 1})
    assert [counts["changed"] for counts in again.recap.values()] == [0] * len(again.recap), again.output
    host.run_expect([0], f"rm -r {RELEASES}/mine /srv/vllm.git")
