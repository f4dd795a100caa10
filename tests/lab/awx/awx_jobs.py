# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""AWX's part of a job: what it puts into a private data directory and hands to ansible-runner.

As AWX 24.6.1 does it (awx/main/tasks/jobs.py, BaseTask and RunJob; awx/main/utils/safe_yaml.py; awx/main/models/credential, inject_credential;
awx/playbooks/project_update.yml; awx/main/tasks/receptor.py), with one difference: there is no container here, so what is /runner there is the private
data directory itself. Its environment is that of the container, nothing of the one that the tests run in.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import ansible_runner
import yaml
from lab import ENVIRONMENT, ROOT

# Settings of AWX that go to every job (awx/settings/defaults.py), and what RunJob.build_env adds.
AWX_ENVIRONMENT = {
    "ANSIBLE_FORCE_COLOR": "True",
    "ANSIBLE_HOST_KEY_CHECKING": "False",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    "ANSIBLE_PARAMIKO_RECORD_HOST_KEYS": "False",
    "ANSIBLE_RETRY_FILES_ENABLED": "False",
    "AWX_HOST": "https://awx.example.org",
    "INVENTORY_ID": "2",
    "MAX_EVENT_RES": "700000",
    "PROJECT_REVISION": "0" * 40,
}
COLLECTIONS = "~/.ansible/collections:/usr/share/ansible/collections"

# What the lab's own inventory and network ask the controller's environment for; a real inventory asks for nothing of it.
PASSED_ON = ("LAB_", "PIP_", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


class Unsafe(yaml.SafeDumper):
    """Every text, keys as well, as C(!unsafe): nobody who answers a survey gets to write a template."""

    def represent_data(self, data: Any) -> Any:
        return self.represent_scalar("!unsafe", data) if isinstance(data, str) else super().represent_data(data)


def unsafe(variables: dict[str, Any]) -> str:
    """Extra variables as AWX writes them."""
    return "".join(yaml.dump_all([{name: value}], Dumper=Unsafe, default_flow_style=False) for name, value in variables.items())


def container_environment(home: Path) -> dict[str, str]:
    """The environment of the container that a job runs in."""
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])
    passed_on = {name: value for name, value in ENVIRONMENT.items() if name.startswith(PASSED_ON)}
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **passed_on}


@dataclass
class Artifacts:
    """What a job has left behind."""

    folder: Path
    status: str

    @property
    def rc(self) -> int:
        """Exit status of ansible-playbook. The part of ansible-runner that processes another node's events knows it only from here."""
        return int((self.folder / "rc").read_text(encoding="utf-8"))

    def files(self) -> Iterator[Path]:
        """Every file below the artifacts."""
        return (path for path in sorted(self.folder.rglob("*")) if path.is_file())

    def events(self) -> list[dict[str, Any]]:
        """The job's events in their order."""
        found = [json.loads(path.read_text(encoding="utf-8")) for path in self.folder.glob("job_events/*.json") if "partial" not in path.name]
        return sorted(found, key=lambda event: event["counter"])

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [event for event in self.events() if event["event"] == kind]

    def printed(self) -> str:
        """What the job's page in AWX shows."""
        return "\n".join(event["stdout"] for event in self.events())

    def gaps(self) -> list[tuple[float, str]]:
        """Seconds between each two events, longest first, with what was printed before."""
        events = self.events()
        times = [datetime.fromisoformat(event["created"]) for event in events]
        return sorted((((after - before).total_seconds(), event["stdout"]) for before, after, event in zip(times, times[1:], events)), reverse=True)

    def seconds(self) -> float:
        """From the first event to the last."""
        events = self.events()
        return (datetime.fromisoformat(events[-1]["created"]) - datetime.fromisoformat(events[0]["created"])).total_seconds()

    def result(self) -> Any:
        """What set_stats gives to the next node of a workflow."""
        stats = self.of_kind("playbook_on_stats")
        return stats[-1]["event_data"]["artifact_data"] if stats else None

    def summary(self) -> str:
        """A line for people: status, seconds, events by kind, the longest gap."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(event["event"] for event in self.events()).most_common())
        gap = self.gaps()[0][0]
        return f"{self.status}, rc {self.rc}, {self.seconds():.1f} s, {len(self.events())} events ({kinds}), longest gap {gap:.1f} s"


@dataclass
class Job:
    """A job of a template, as far as its user and the template say: playbook, limit, survey, credentials."""

    playbook: str
    limit: str = ""
    job_type: str = "run"
    # Answers of the survey, and what the template says itself.
    extra_vars: dict[str, Any] = field(default_factory=dict)
    # By injector of the custom credential's type.
    credential_extra_vars: dict[str, str] = field(default_factory=dict)
    credential_environment: dict[str, str] = field(default_factory=dict)


class Awx:
    """An AWX that has the checkout as a project and an inventory from it. Its folders are below O(folder)."""

    def __init__(self, folder: Path, ssh_key: str) -> None:
        self.folder = folder
        self.ssh_key = ssh_key
        self.project = folder / "_8__inferops"
        self.home = folder / "home"
        self.stage = folder / "cache" / "requirements_collections"
        self.inventory: dict[str, Any] = {}
        self.jobs: list[Path] = []
        self.home.mkdir()

    def update_project(self) -> None:
        """The checkout as git has it, and its collections where AWX puts them. Of collections/requirements.yml only the repository itself: the
        dependencies come with PyPI's C(ansible) here, and Galaxy is not asked."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            source, target = ROOT / name, self.project / name
            if source.is_symlink() or source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)
        required = yaml.safe_load((self.project / "collections" / "requirements.yml").read_text(encoding="utf-8"))["collections"]
        own = [entry for entry in required if entry.get("type") == "dir"]
        requirements = self.folder / "requirements.yml"
        requirements.write_text(yaml.safe_dump({"collections": own}), encoding="utf-8")
        where = {"ANSIBLE_COLLECTIONS_PATH": str(self.stage), "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"), "ANSIBLE_FORCE_COLOR": "false"}
        subprocess.run(
            ["ansible-galaxy", "collection", "install", "-r", str(requirements), "--offline", "--no-deps"], cwd=self.project,
            env={**container_environment(self.home), **where}, check=True, stdout=subprocess.DEVNULL,
        )

    def update_inventory(self, *sources: str, change: Callable[[dict[str, Any]], None]) -> None:
        """What an inventory's source in the project brings into the database; O(change) is what a person edits there."""
        listed = subprocess.run(
            ["ansible-inventory", *(argument for source in sources for argument in ("-i", source)), "--list", "--export"], cwd=self.project,
            env={**container_environment(self.home), "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True"}, check=True, stdout=subprocess.PIPE, text=True,
        ).stdout
        self.inventory = json.loads(listed)
        change(self.inventory)

    def _private_data(self, job: Job, number: int) -> tuple[Path, dict[str, Any]]:
        """The private data directory of a job, and the arguments of ansible_runner.run."""
        folder = Path(tempfile.mkdtemp(prefix=f"awx_{number}_"))
        self.jobs.append(folder)
        for name in ("inventory", "env", "cp"):
            (folder / name).mkdir(mode=0o700)
        shutil.copytree(self.project, folder / "project", symlinks=True)
        shutil.copytree(self.stage, folder / "requirements_collections", symlinks=True)

        # After the template's own, so that they win.
        credential = ["-e", f"@{self._write(folder, 'env/credential', unsafe(job.credential_extra_vars), 0o400)}"] if job.credential_extra_vars else []
        arguments = [*(["--check"] if job.job_type == "check" else []), "-u", "ops", *(["-l", job.limit] if job.limit else []), *credential]
        self._write(folder, "env/extravars", unsafe({**job.extra_vars, **meta_variables(number)}))
        self._write(folder, "env/cmdline", ansible_runner.utils.args2cmdline(*arguments))
        # AWX has no file of what is printed (suppress_output_file): it has the same from the events. Here it is one more to be searched.
        self._write(folder, "env/settings", json.dumps({"job_timeout": 0, "suppress_ansible_output": True, "suppress_output_file": False}))
        script = f"#! /usr/bin/env python3\n# -*- coding: utf-8 -*-\nprint({json.dumps(self.inventory)!r})\n"
        inventory = self._write(folder, "inventory/hosts", script, 0o700)
        environment = {
            **AWX_ENVIRONMENT, "JOB_ID": str(number), "AWX_PRIVATE_DATA_DIR": str(folder), "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
            # Before what the project's own ansible.cfg says, which AWX reads for this.
            "ANSIBLE_COLLECTIONS_PATH": f"{folder / 'requirements_collections'}:collections:{COLLECTIONS}",
            "ANSIBLE_ROLES_PATH": f"{folder / 'requirements_roles'}:~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles",
            **job.credential_environment,
        }
        return folder, {
            "ident": str(number), "private_data_dir": str(folder), "playbook": job.playbook, "inventory": str(inventory), "envvars": environment,
            "passwords": {r"SSH password:\s*?$": "", r"BECOME password.*:\s*?$": ""}, "ssh_key": self.ssh_key, "suppress_env_files": True,
            "fact_cache_type": "jsonfile",
        }

    @staticmethod
    def _write(folder: Path, name: str, text: str, mode: int = 0o600) -> Path:
        path = folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def run(self, job: Job, cancel_at: str = "") -> Artifacts:
        """A job on AWX's own node. It is cancelled after an event that says O(cancel_at)."""
        folder, arguments = self._private_data(job, len(self.jobs) + 1)
        before = contents(folder / "project")
        with self._container():
            seen = threading.Event()

            def on_event(event: dict[str, Any]) -> bool:
                if cancel_at and cancel_at in event.get("stdout", ""):
                    seen.set()
                # The event is to be kept.
                return True

            done = ansible_runner.interface.run(quiet=True, event_handler=on_event, cancel_callback=seen.is_set, **arguments)
        after = contents(folder / "project")
        written = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        assert not written, f"the job wrote into its project: {written}"
        return Artifacts(folder / "artifacts" / arguments["ident"], done.status)

    def run_elsewhere(self, job: Job) -> Artifacts:
        """A job on another node: transmitted, worked on there, under the same path, with nothing but what was transmitted, and its events processed
        here."""
        folder, arguments = self._private_data(job, len(self.jobs) + 1)
        with self._container(), tempfile.TemporaryFile() as there, tempfile.TemporaryFile() as back:
            ansible_runner.interface.run(streamer="transmit", _output=there, **arguments)
            shutil.rmtree(folder)
            there.seek(0)
            subprocess.run(["ansible-runner", "worker", f"--private-data-dir={folder}", "--delete"], stdin=there, stdout=back, cwd=self.folder, check=True)
            assert not folder.exists(), "the other node has kept the job's directory"
            back.seek(0)
            done = ansible_runner.interface.run(streamer="process", quiet=True, _input=back, **arguments)
        return Artifacts(folder / "artifacts" / arguments["ident"], done.status)

    @contextmanager
    def _container(self) -> Iterator[None]:
        with mock.patch.dict(os.environ, container_environment(self.home), clear=True):
            yield

    def close(self) -> None:
        """Remove the jobs' directories, as AWX does."""
        for folder in self.jobs:
            shutil.rmtree(folder, ignore_errors=True)


def meta_variables(number: int) -> dict[str, Any]:
    """What AWX tells every job of itself."""
    told = {
        "job_id": number, "job_launch_type": "manual", "job_template_id": 9, "job_template_name": "deploy", "user_id": 1, "user_name": "admin",
        "user_email": "admin@example.org", "inventory_id": 2, "inventory_name": "lab", "project_revision": "0" * 40, "project_scm_branch": "",
    }
    return {f"{prefix}_{name}": value for prefix in ("awx", "tower") for name, value in told.items()}


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file of a folder with its size and the time of its last change. Without Python's own cache of bytecode, which it does without where it
    may not write."""
    files = (path for path in folder.rglob("*") if not path.is_dir() and path.parent.name != "__pycache__")
    return {str(path.relative_to(folder)): (stat.st_size, stat.st_mtime_ns) for path in files if (stat := path.lstat())}


def where_found(artifacts: Artifacts, words: Sequence[str]) -> list[str]:
    """Files of the artifacts that have one of the words, each named with it."""
    return [f"{path.name}: {word}" for path in artifacts.files() for word in words if word.encode() in path.read_bytes()]
