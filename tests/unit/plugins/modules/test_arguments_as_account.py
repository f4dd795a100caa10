# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The check of arguments runs an engine's code, and a model's with it: as the service's account, with nothing of root's."""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
import types
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.modules import vllm_arguments

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
NOBODY = pwd.getpwnam("nobody")
STRANGER = 54321

PROGRAM = """
import json, os, sys
print(json.dumps({"error": None, "depth": 0, "ids": [os.getuid(), os.getgid(), sorted(os.getgroups())], "environment": dict(os.environ)}))
"""


def parser() -> types.ModuleType:
    """A module that stands for an engine's parser: what is run is its source."""
    made = types.ModuleType("parser")
    made.__loader__ = types.SimpleNamespace(get_source=lambda name: PROGRAM)  # type: ignore[assignment]
    return made


def test_it_has_the_accounts_groups_and_none_of_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's groups open what root's files are closed with, and root's environment may hold what is for nobody else."""
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD", "secret")
    os.setgroups([0, 4])
    try:
        said = vllm_arguments.ask(parser(), "/usr/bin/python3", [], {"HOME": "/c", "A": 1}, "nobody", "daemon")
    finally:
        os.setgroups([0])
    daemon = grp.getgrnam("daemon").gr_gid
    assert said["ids"] == [NOBODY.pw_uid, NOBODY.pw_gid, sorted({NOBODY.pw_gid, daemon})]
    assert said["environment"]["HOME"] == "/c" and said["environment"]["A"] == "1" and "ANSIBLE_VAULT_PASSWORD" not in said["environment"]


def test_a_cache_of_another_account_is_left_alone(tmp_path: Path) -> None:
    """Before a change of account the running service still writes there, and the next account cannot."""
    cache = tmp_path / "cache"
    cache.mkdir()
    given = {"HOME": str(cache), "VLLM_CACHE_ROOT": f"{cache}/vllm", "A": "1"}
    os.chown(cache, NOBODY.pw_uid, NOBODY.pw_gid)
    with vllm_arguments.own_cache(str(cache), given, "nobody") as environment:
        assert environment == given
    os.chown(cache, STRANGER, STRANGER)
    with vllm_arguments.own_cache(str(cache), given, "nobody") as environment:
        folder = environment["HOME"]
        assert environment == {"HOME": folder, "VLLM_CACHE_ROOT": f"{folder}/vllm", "A": "1"} and not folder.startswith(str(cache))
        found = os.stat(folder)
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (NOBODY.pw_uid, 0o700)
    assert not os.path.exists(folder) and cache.stat().st_uid == STRANGER


@pytest.mark.parametrize(
    ("modes", "said"),
    [
        ((0o755, 0o644), ""),
        ((0o755, 0o600), "model.safetensors"),
        ((0o700, 0o644), "weights"),
        (None, ""),
    ],
)
def test_weights_that_the_account_can_not_read_are_told_of(tmp_path: Path, modes: tuple[int, int] | None, said: str) -> None:
    """Before the running service is touched: they were readable by the account that all services had together."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    weights = tmp_path / "weights"
    if modes:
        weights.mkdir()
        for name in ("config.json", "model.safetensors"):
            (weights / name).write_text(json.dumps({}))
            (weights / name).chmod(0o644)
        (weights / "model.safetensors").chmod(modes[1])
        weights.chmod(modes[0])
    found = vllm_arguments._accounts.as_account("nobody", vllm_arguments.unreadable, str(weights))
    assert os.path.basename(found) == said
