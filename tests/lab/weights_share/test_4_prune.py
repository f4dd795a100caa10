# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Weights that nothing uses: listed with sizes, removed when told to; what is used, unknown or somebody else's stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fleet import CONVERGE, HOME, MODELS, Fleet, play
from testinfra.host import Host

PLAYBOOK = "playbooks/weights_prune.yml"
NAME = "lab-gpu2"
OLD, BEGUN, FORMER, OPEN, UNMANAGED = (f"{MODELS}/{name}/main" for name in ("lab--old", "lab--begun", "lab--former", "lab--open", "lab--unmanaged"))
# Of a service that has passed its gate.
RECORD = "/var/lib/inferops/served/former.json"
MANIFEST = '{"repo": "lab/x", "revision": "main", "commit": "c0ffee", "files": []}'


@pytest.fixture(name="host")
def _host(fleet: Fleet) -> Iterator[Host]:
    """A host with weights of all kinds beside those that its service uses."""
    host = fleet.hosts[NAME]
    if not host.file(f"{HOME}/main.manifest.json").exists:
        assert play(CONVERGE, "-l", NAME).status == 0
    for path in (OLD, FORMER, OPEN, UNMANAGED, f"{BEGUN}.partial"):
        host.run_expect([0], f"mkdir -p {path} && head -c 3000000 /dev/urandom > {path}/model.safetensors")
    for path in (OLD, FORMER, OPEN):
        name = path.split("/")[-2].replace("--", "/")
        host.run_expect([0], f"echo '{MANIFEST.replace('lab/x', name)}' > {path}.manifest.json")
    # As downloads leave them: what belongs to somebody else is left to him.
    host.run_expect([0], "chown -R inferops: " + " ".join(path.rpartition("/")[0] for path in (OLD, FORMER, OPEN, UNMANAGED, BEGUN)))
    host.run_expect([0], f"mkdir -p /var/lib/inferops/served && echo '{{\"unit_text\": \"vllm serve {FORMER} --port 1\"}}' > {RECORD}")
    host.run_expect([0], f"systemd-run --unit=lab-open tail -f {OPEN}/model.safetensors")
    yield host
    host.run_expect([0], f"systemctl stop lab-open; rm -rf {OLD}* {BEGUN}* {FORMER}* {OPEN}* {UNMANAGED}* {RECORD}")


def there(host: Host) -> set[str]:
    """Which of them are on the disk."""
    return {path for path in (OLD, FORMER, OPEN, UNMANAGED, f"{BEGUN}.partial", f"{HOME}/main") if host.file(path).exists}


ALL = {OLD, FORMER, OPEN, UNMANAGED, f"{BEGUN}.partial", f"{HOME}/main"}


def test_listed_then_removed(host: Host) -> None:
    """Nothing goes unasked, nor in check mode; then what nothing uses and no more."""
    listed = play(PLAYBOOK, "-l", NAME)
    said = listed.said
    assert listed.recap[NAME]["changed"] == 0
    assert f"unused: 3.0 MB lab/old@main in {OLD}" in said
    assert f"unfinished, unused: 3.0 MB lab/begun@main in {BEGUN}.partial" in said
    assert "lab/former@main, as the record of a service names it" in said
    assert "lab/open@main, as a process uses it" in said
    assert "lab/shards@main, as the plan wants it" in said
    assert "lab/unmanaged" not in said
    checked = play(PLAYBOOK, "-l", NAME, "--check", weights_prune=True)
    assert checked.recap[NAME]["changed"] == 1
    assert "would be removed: 3.0 MB lab/old@main" in checked.said
    assert there(host) == ALL
    refused = play(PLAYBOOK, "-l", NAME, weights_prune=["lab/open@main"])
    assert refused.status != 0
    assert "Cannot remove lab/open@main (a process uses it)" in refused.said
    assert play(PLAYBOOK, "-l", NAME, weights_prune=["lab/old@main"]).status == 0
    assert there(host) == ALL - {OLD}
    removed = play(PLAYBOOK, "-l", NAME, "-e", "weights_prune=true")
    assert removed.recap[NAME]["changed"] == 1
    assert there(host) == {FORMER, OPEN, UNMANAGED, f"{HOME}/main"}
    assert play(PLAYBOOK, "-l", NAME, "-e", "weights_prune=true").recap[NAME]["changed"] == 0
