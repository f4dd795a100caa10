# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service on Ray as it was deployed: what runs, what is open to whom, and what nobody sees."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from changes import assert_that_nothing_is_left_to_do
from lab import Play
from pair import Pair
from testinfra.host import Host

RAY_PORTS = range(6379, 6507)
SECRETS = ("sk-lab-key-5b1f3e", "lab-secret-31c8d0")


def test_units(pair: Pair) -> None:
    """Ray's head and the engine, and Ray on the worker; each says that the service serves."""
    assert pair.units(pair.head) == ["ray-head-pair.service", "vllm-pair.service"]
    assert pair.units(pair.worker) == ["ray-worker-pair.service"]
    for host, unit in ((pair.head, "vllm-pair"), (pair.head, "ray-head-pair"), (pair.worker, "ray-worker-pair")):
        said = host.check_output("systemctl show --value --property=ActiveState,StatusText %s", unit).split("\n")
        active, status = sorted(said)
        # The engine's own unit has its requests beside.
        assert active == "active" and status.partition(", 0 running")[0] == "serving on two-head, two-worker"


def test_nobody_runs_as_root(pair: Pair) -> None:
    """Each service's processes run as its own account; the head has the model beside as well."""
    for host, accounts in ((pair.head, {"inferops-pair", "inferops-beside"}), (pair.worker, {"inferops-pair"})):
        users = set(host.check_output("ps -eo user:32=,args= | grep -E '[r]aylet|[g]cs_server|[V]LLM|[s]pan.py|[v]llm serve' | awk '{print $1}'").split())
        assert users == accounts


def listening(host: Host) -> set[int]:
    """Ports that processes of the service's account listen on beyond loopback."""
    lines = host.check_output("ss --no-header --listening --tcp --numeric --processes").splitlines()
    found = set()
    for line in lines:
        address, _colon, port = line.split()[3].rpartition(":")
        if re.search(r'"(raylet|gcs_server|ray|python|vllm|VLLM)', line) and not address.startswith("127."):
            found.add(int(port))
    return found


def test_ports_are_closed_to_strangers_and_open_to_peers(pair: Pair, stranger: Host) -> None:
    """Whatever Ray, Gloo and vLLM listen on: a stranger reaches the two APIs alone, the other node reaches all of it."""
    program = (
        "import socket,sys\n"
        "for port in sys.argv[2:]:\n"
        "    try: socket.create_connection((sys.argv[1], int(port)), timeout=1).close(); print(port)\n"
        "    except OSError: pass"
    )
    for host, peer in ((pair.head, pair.worker), (pair.worker, pair.head)):
        address = host.check_output("hostname --all-ip-addresses").split()[0]
        ports = listening(host)
        assert len(ports & set(RAY_PORTS)) >= 4, ports
        words = " ".join(map(str, sorted(ports | {6379, 6380})))
        assert set(stranger.check_output(f"python3 -c '{program}' {address} {words}").split()) <= {"8001", "8002"}
        reached = set(map(int, peer.check_output(f"python3 -c '{program}' {address} {words}").split()))
        assert reached >= ports, f"{sorted(ports - reached)} are closed to the peer"


def test_ray_listens_on_its_own_ports(pair: Pair) -> None:
    """Raylet, GCS and agents on the ports of the plan alone."""
    for host in (pair.head, pair.worker):
        lines = host.check_output("ss --no-header --listening --tcp --numeric --processes").splitlines()
        ports = {int(line.split()[3].rpartition(":")[2]) for line in lines if re.search(r'"(raylet|gcs_server)"', line)}
        assert ports and ports <= set(RAY_PORTS), ports


def test_ray_asks_for_the_token(pair: Pair) -> None:
    """Somebody on the head itself, without the token, learns nothing of the cluster."""
    release = pair.head.check_output("ls -d /opt/inferops/releases/vllm-*").split()[0]
    address = pair.head.check_output("hostname --all-ip-addresses").split()[0]
    program = "import ray; ray.init(address=%r, logging_level=50); print(len(ray.nodes()))" % f"{address}:6379"
    done = pair.head.run("cd /tmp && HOME=/tmp timeout 40 %s/bin/python -c %s", release, program)
    assert done.rc != 0 and re.search("token|auth", done.stdout + done.stderr, re.IGNORECASE), done.stdout + done.stderr


@pytest.mark.parametrize("where", ["head", "worker"])
def test_secrets_are_seen_nowhere(pair: Pair, where: str) -> None:
    """Neither the key nor the token in process lists, units, the journal or Ray's logs; the environment files are root's alone."""
    host: Host = getattr(pair, where)
    token = pair.head.check_output("cat /etc/inferops/tokens/pair")
    assert len(token) == 64
    for secret in (token, *SECRETS):
        assert host.run("ps -eo args | grep -F -- %s | grep -v grep", secret).stdout == ""
        assert host.run("grep -rlF -- %s /etc/systemd/system /var/lib/inferops/ray /var/lib/inferops/failures", secret).stdout == ""
        assert host.run("journalctl --no-pager --unit='vllm-*' --unit='ray-*' | grep -cF -- %s", secret).stdout.strip() == "0"
    for path in host.check_output("ls /etc/inferops/*.env").split():
        assert (host.file(path).user, host.file(path).mode) == ("root", 0o600)


def test_the_key_stays_on_the_head(pair: Pair) -> None:
    """vLLM hands its environment on to the ranks of other hosts; the service's secrets are not among it."""
    found = pair.worker.check_output("for pid in $(pgrep --uid inferops-pair); do tr '\\0' '\\n' < /proc/$pid/environ; done | sort -u")
    assert not [secret for secret in SECRETS if secret in found]


def test_a_second_run_changes_nothing(pair: Pair, play: Callable[..., Play]) -> None:
    """And restarts nothing."""
    print(f"a second run took {assert_that_nothing_is_left_to_do(pair, play).seconds:.0f} s")
