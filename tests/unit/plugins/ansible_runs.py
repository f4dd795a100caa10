# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs of ansible-playbook in processes of their own, without their imports: these take longer than most of the plays that the tests run.

For each configuration one process imports Ansible and the collection's plugins, and forks for each run. A run is a real C(ansible-playbook): its own
process, environment, working directory and output. What it shares is what imports read: C(ansible.cfg), C(ANSIBLE_*) and the code.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
_SERVERS: dict[str, _Server] = {}


def playbook(
    *arguments: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None, config: Path | None = None, merged: bool = True, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Runs ansible-playbook with these arguments; standard input is empty.

    :param env: variables over those of this process
    :param config: the ansible.cfg; by default an empty one, and the collection is found in this checkout
    :param merged: whether stderr is part of stdout
    :param timeout: seconds
    :raises subprocess.TimeoutExpired: it took longer, and was killed with everything that it started
    """
    variables = {**os.environ, **({"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")} if config is None else {}), "PWD": str(cwd), **(env or {})}
    variables.pop("ANSIBLE_CONFIG", None)
    # What is read at import: nothing else decides which process a run may be forked from.
    key = json.dumps([str(config), sorted((name, value) for name, value in variables.items() if name.startswith("ANSIBLE_"))])
    if key not in _SERVERS:
        _SERVERS[key] = _Server(config, variables)
    try:
        return _SERVERS[key].run(list(arguments), cwd, variables, merged, timeout)
    except subprocess.TimeoutExpired:
        _SERVERS.pop(key).end()
        raise


class _Server:
    """A process that has imported Ansible, and forks."""

    def __init__(self, config: Path | None, variables: Mapping[str, str]) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="ansible-runs-")
        empty = Path(self.folder.name) / "ansible.cfg"
        empty.touch()
        self.config = str(config or empty)
        self.process = subprocess.Popen(
            [sys.executable, __file__], env={**variables, "ANSIBLE_CONFIG": self.config}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )
        atexit.register(self.end)

    def run(self, arguments: list[str], cwd: Path, variables: Mapping[str, str], merged: bool, timeout: float) -> subprocess.CompletedProcess[str]:
        outputs = [os.path.join(self.folder.name, name) for name in ("out", "out" if merged else "err")]
        request = {"argv": arguments, "cwd": str(cwd), "env": {**variables, "ANSIBLE_CONFIG": self.config}, "outputs": outputs, "timeout": timeout}
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process that runs ansible-playbook ended: status {self.process.wait()}")
        status = json.loads(answer)
        out, err = (Path(path).read_text(encoding="utf-8") for path in outputs)
        command = ["ansible-playbook", *arguments]
        if status is None:
            raise subprocess.TimeoutExpired(command, timeout, out)
        return subprocess.CompletedProcess(command, status, out, "" if merged else err)

    def end(self) -> None:
        """Have it end, so that it removes Ansible's temporary files; then end whatever it left."""
        atexit.unregister(self.end)
        assert self.process.stdin
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.folder.cleanup()


def _preload() -> Any:
    """The entry point of ansible-playbook, with the imports that nearly every play needs."""
    import importlib  # noqa: PLC0415
    from ansible.cli import playbook as cli  # noqa: PLC0415
    from ansible.plugins import loader  # noqa: PLC0415

    loader.init_plugin_loader()
    # The command line configures it again, and warns that it has been.
    loader.init_plugin_loader = cli.init_plugin_loader = sys.modules["ansible.cli"].init_plugin_loader = lambda *_arguments: None
    # Plugins of variables are not among them: Ansible keeps instances of those that it has seen.
    list(loader.inventory_loader.all(class_only=True))
    loader.strategy_loader.get("linear", class_only=True)
    loader.callback_loader.get("default", class_only=True)
    loader.connection_loader.get("local", class_only=True)
    for folder in ("filter", "lookup", "action"):
        for path in sorted((ROOT / "plugins" / folder).glob("[a-z]*.py")):
            importlib.import_module(f"ansible_collections.inferops.gpu.plugins.{folder}.{path.stem}")
    return cli.main


def _serve() -> None:
    """Requests from stdin, one a line; for each the exit status on stdout, null for one that took too long."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main = _preload()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(main, request)
        signal.signal(signal.SIGALRM, lambda *_arguments: os.kill(child, signal.SIGKILL))  # noqa: B023
        signal.setitimer(signal.ITIMER_REAL, request["timeout"])
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        late = signal.setitimer(signal.ITIMER_REAL, 0)[0] == 0
        replies.write(json.dumps(None if late else status) + "\n")
        replies.flush()


def _run(main: Any, request: dict[str, Any]) -> None:
    """In the fork: becomes the run, and ends with its status."""
    status = 1
    try:
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        out, err = request["outputs"]
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600), 1)
        os.dup2(1 if out == err else os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600), 2)
        sys.argv = ["ansible-playbook", *request["argv"]]
        main(sys.argv)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: the first process removes its temporary files, at its own end.
        os._exit(status)


if __name__ == "__main__":
    _serve()
