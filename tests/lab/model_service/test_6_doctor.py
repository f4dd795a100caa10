# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The doctor names each cause that is planted on a host, and nothing on a host that is well; the bundle has none of the secrets."""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
import tarfile
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from engine_misbehaviour import misbehave, misbehaving
from lab import ENVIRONMENT, GROUP, MIRROR, ROOT, WITH_SMALL_ENGINE, Play, Scenario, Unit, wait_until
from test_2_failures import answers, engine
from testinfra.host import Host

DOCTOR = Scenario(WITH_SMALL_ENGINE.inventories, "playbooks/doctor.yml", GROUP)
BUNDLE = Scenario(WITH_SMALL_ENGINE.inventories, "playbooks/bundle.yml", GROUP)
# A container cannot set these, as the role kernel says too, and cannot read the kernel's log.
OF_A_CONTAINER = ("net.netfilter.nf_conntrack_", "The kernel's log cannot be read")
MIRROR_ADDRESS = MIRROR.partition("://")[2].partition(":")[0]
UNIT = "vllm-qwen3-235b.service"
FILE = f"/etc/systemd/system/{UNIT}"
FAILURE = "/var/lib/inferops/failures/vllm-qwen3-235b/29991231T000000Z"

Findings = dict[str, dict[str, Any]]

PLANT = f"""
set -e
mkdir -p /etc/systemd/system/{UNIT}.d /opt/old-cuda/compat
printf '[Service]\\nEnvironment=LD_LIBRARY_PATH=/opt/old-cuda/compat NCCL_SOCKET_IFNAME=eth9\\n' >/etc/systemd/system/{UNIT}.d/own.conf
touch /opt/old-cuda/compat/libcuda.so.550.54.14
ln -sf libcuda.so.550.54.14 /opt/old-cuda/compat/libcuda.so.1
printf '# Managed by inferops.gpu\\n[Service]\\nExecStart=/bin/true\\nLoadCredential=ssl_certfile:/etc/planted.crt\\n' >/etc/systemd/system/vllm-planted.service
systemctl daemon-reload
echo '# changed' >>/etc/systemd/system/{UNIT}.d/own.conf
systemctl set-environment http_proxy=http://user:proxy-password-5e1d@proxy.example:3128
ufw disable
iptables -t nat -N DOCKER
iptables -t nat -A DOCKER -p tcp --dport 9999 -j DNAT --to-destination 172.17.0.2:80
sysctl -qw net.core.somaxconn=128
mount -t tmpfs -o size=8m,nr_inodes=500 tmpfs /var/lib/inferops/models
systemd-run --quiet --unit=inferops-weights-broken false
ip route add {MIRROR_ADDRESS} dev eth0 mtu lock 1400
printf '#!/bin/sh\\necho NTP=yes; echo CanNTP=yes; echo NTPSynchronized=no\\n' >/usr/local/bin/timedatectl
printf '#!/bin/sh\\necho none; exit 1\\n' >/usr/local/bin/systemd-detect-virt
chmod 755 /usr/local/bin/timedatectl /usr/local/bin/systemd-detect-virt
"""
HEAL = f"""
rm -rf /etc/systemd/system/{UNIT}.d /etc/systemd/system/vllm-planted.service /etc/planted.crt /opt/old-cuda /usr/local/bin/timedatectl
rm -f /usr/local/bin/systemd-detect-virt
systemctl daemon-reload
systemctl unset-environment http_proxy
systemctl reset-failed
iptables -t nat -F DOCKER; iptables -t nat -X DOCKER
ip route del {MIRROR_ADDRESS}
sysctl -qw net.core.somaxconn=65535
umount /var/lib/inferops/models
ufw --force enable
"""
# By check: the service, and words of its cause.
PLANTED = {
    "libcuda-mismatch": ("qwen3-235b", "/opt/old-cuda/compat/libcuda.so.1 (LD_LIBRARY_PATH: /opt/old-cuda/compat), which is of driver 550.54.14"),
    "unit-drop-in": ("qwen3-235b", f"/etc/systemd/system/{UNIT}.d/own.conf"),
    "daemon-reload": ("qwen3-235b", "have changed since systemd read them"),
    "proxy": ("qwen3-235b", "http_proxy=http://proxy.example:3128"),
    "certificate-expired": ("planted", "the certificate /etc/planted.crt of vllm-planted.service expired on"),
    "firewall-off": (None, "UFW is off"),
    "firewall-published": (None, "9999"),
    "sysctl": (None, "net.core.somaxconn is 128, and the plan sets 65535"),
    "disk-full": (None, "/var/lib/inferops/models (models) has 8 MiB free"),
    "disk-inodes": (None, "free inodes"),
    "host-unit-failed": (None, "inferops-weights-broken.service"),
    "clock-unsynchronised": (None, "a time service is on, and has not synchronised it"),
}


@pytest.fixture
def doctor(play: Callable[..., Play], tmp_path: Path) -> Callable[..., Findings]:
    """Runs the doctor and returns its findings by check, without those of every container."""

    def run(*arguments: str) -> Findings:
        path = tmp_path / "doctor.json"
        done = play("-e", f"doctor_output={path}", *arguments, scenario=DOCTOR)
        assert done.status == 0, done.output
        assert path.stat().st_mode & 0o777 == 0o600
        (found,) = json.loads(path.read_text(encoding="utf-8"))["hosts"].values()
        for finding in found["findings"]:
            assert f"[{finding['check']}]" in done.said and finding["command"]
        return {finding["check"]: finding for finding in found["findings"] if not any(words in finding["cause"] for words in OF_A_CONTAINER)}

    return run


def on_the_host(**options: Any) -> Findings:
    """What the module alone finds, without the facts: in a third of the playbook's time."""
    arguments = json.dumps(options or {"mirrors": []})
    command = ["ansible", *WITH_SMALL_ENGINE.inventory_arguments(), GROUP, "-b", "-m", "inferops.gpu.host_diagnosis", "-a", arguments]
    environment = {**ENVIRONMENT, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {finding["check"]: finding for finding in json.loads(done.stdout.partition(" => ")[2])["findings"]}


@contextmanager
def planted(host: Host) -> Iterator[None]:
    """All causes at once that leave the service running."""
    host.run_expect([0], "printf %%s %s >/etc/planted.crt", expired())
    try:
        host.run_expect([0], PLANT)
        yield
    finally:
        host.run(HEAL)


def expired() -> str:
    """A certificate that expired yesterday."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gpu.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    built = built.not_valid_before(now - datetime.timedelta(days=30)).not_valid_after(now - datetime.timedelta(days=1))
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_a_host_that_is_well(doctor: Callable[..., Findings], unit: Unit) -> None:
    wait_until(lambda: unit.show("StatusText").startswith("serving"), 30, "the service serves")
    assert not doctor("-e", "doctor_fail=true", "--check")


def test_planted_causes(host: Host, doctor: Callable[..., Findings]) -> None:
    """One run names all of them, and no other."""
    with planted(host):
        found = doctor()
        node = on_the_host(services=[{"service": "qwen3-235b", "address": "10.9.9.9", "peers": [{"host": "mirror", "address": MIRROR_ADDRESS}]}])
    assert "proxy-password-5e1d" not in json.dumps([found, node])
    for check, (service, words) in PLANTED.items():
        assert check in found, f"{check} is not in {sorted(found)}"
        assert found[check]["service"] == service and words in found[check]["cause"], found[check]
    assert sorted(found) == sorted(PLANTED)
    assert "NCCL_SOCKET_IFNAME=eth9 of vllm-qwen3-235b.service names no interface of this host" in node["network-interface"]["cause"]
    assert f"the node mirror ({MIRROR_ADDRESS}) may have 1400 bytes, and this host's interface sends 1500" in node["mtu-path"]["cause"]


@pytest.fixture
def watched_closely(host: Host, unit: Unit) -> Iterator[None]:
    """The supervisor probes every two seconds, and does not end an engine that hangs."""
    restart = f"systemctl daemon-reload; systemctl restart {UNIT}"
    edit = "s/--probe-interval=[0-9]*/--probe-interval=2/; s/--probe-timeout=[0-9]*/--probe-timeout=3/"
    host.run_expect([0], f"cp -p {FILE} /run/unit.kept; sed -i '{edit}' {FILE}; {restart}")
    wait_until(lambda: unit.show("StatusText").startswith("serving"), 30, "the service serves", every=0.2)
    yield
    host.run_expect([0], f"cp -p /run/unit.kept {FILE}; rm /run/unit.kept; {restart}")


@pytest.mark.usefixtures("watched_closely")
def test_engines(host: Host, unit: Unit, doctor: Callable[..., Findings], client: Any, service: dict[str, Any]) -> None:
    """A hung engine, a restart loop with its cause, a unit that stays down, a port that another program holds."""
    with misbehaving(host, hang=True):
        wait_until(lambda: "not answering since" in unit.show("StatusText"), 30, "the status says so", every=0.2)
        hung = on_the_host()
    assert sorted(hung) == ["engine-hung"] and hung["engine-hung"]["service"] == "qwen3-235b"
    with misbehaving(host, exit_at_start=1):
        host.run_expect([0], f"kill -KILL {engine(unit)}")
        wait_until(lambda: unit.show("NRestarts") not in ("", "0") and unit.show("ActiveState") == "activating", 60, "it fails again", every=0.2)
        looping = on_the_host()
        assert sorted(looping) == ["restart-loop"] and "fails and restarts again and again" in looping["restart-loop"]["cause"], looping
        misbehave(host, exit_at_start=2)
        # An operator's start does not back off.
        host.run_expect([0], f"systemctl restart --no-block {UNIT}")
        wait_until(lambda: unit.show("ActiveState") == "failed", 60, "it stays down", every=0.2)
        down = on_the_host()
        assert sorted(down) == ["unit-failed"], down
    host.run_expect([0], f"systemctl stop {UNIT}; systemctl reset-failed; systemd-run --quiet --unit=lab-holder python3 -m http.server {service['port']}")
    wait_until(lambda: host.run("ss -Hltn 'sport = :%s'", str(service["port"])).stdout, 10, "it listens", every=0.2)
    taken = doctor()
    host.run_expect([0], f"systemctl stop lab-holder; systemctl start {UNIT}")
    assert sorted(taken) == ["plan", "port-taken", "unit-stopped"], taken
    assert f"port {service['port']} is held by python3" in taken["port-taken"]["cause"] and "lab-holder.service" in taken["port-taken"]["cause"]
    wait_until(lambda: answers(client, service["name"]), 60, "it answers again")


def forms(secret: str) -> list[str]:
    """The secret as programs may write it."""
    encoded = [base64.b64encode(b"x" * before + secret.encode() + b"tail").decode() for before in range(3)]
    return [secret, urllib.parse.quote(secret, safe=""), *encoded]


def test_the_bundle_has_no_secret(host: Host, play: Callable[..., Play], service: dict[str, Any], tmp_path: Path) -> None:
    """In no form, although a log has them all; a link of the service's account is not followed; nothing is left on the host."""
    secrets = [service["api_key"], service["secret_environment"]["LAB_SECRET"], "s3cr3t/with+signs=", "token-of-a-file-81c2"]
    written = "\n".join(["RuntimeError: a cause", *(form for secret in secrets for form in forms(secret))])
    owner = "inferops-qwen3-235b"
    host.run_expect([0], f"""
set -e
install -d -o {owner} -g {owner} {FAILURE}
printf %s '{written}' >{FAILURE}/output.log
ln -s /etc/shadow {FAILURE}/nvidia-smi.log
chown -h {owner}:{owner} {FAILURE}/*
install -d -m 700 /etc/inferops/tokens
printf token-of-a-file-81c2 >/etc/inferops/tokens/planted
""")
    try:
        done = play("-e", f"bundle_dir={tmp_path}/out", "-e", json.dumps({"weights_token": "s3cr3t/with+signs="}), "-vv", scenario=BUNDLE)
    finally:
        host.run("rm -rf %s /etc/inferops/tokens", FAILURE)
    assert done.status == 0, done.output
    assert not [secret for secret in secrets if secret in done.output]
    (path,) = (tmp_path / "out").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    with tarfile.open(path) as archive:
        texts = {member.name.partition("/")[2]: archive.extractfile(member).read().decode() for member in archive}  # type: ignore[union-attr]
    for secret in secrets:
        # Of base64 the characters that the secret alone decides.
        for form in (secret, urllib.parse.quote(secret, safe=""), *(text[4:-12] for text in forms(secret)[2:])):
            assert not [name for name, text in texts.items() if form in text], form
    assert "RuntimeError: a cause" in texts[f"failures/vllm-qwen3-235b/{Path(FAILURE).name}/output.log"]
    assert f"failures/vllm-qwen3-235b/{Path(FAILURE).name}/nvidia-smi.log" not in texts and not [name for name, text in texts.items() if "root:*:" in text]
    assert {"doctor.json", "plan.json", "host-facts.json", "status.json", f"units/{UNIT}.txt", f"journal/{UNIT}.log", "MANIFEST.txt"} <= set(texts)
    assert "VLLM_API_KEY=(hidden)" in texts["environment/qwen3-235b.env"] and "not read: failures/" in texts["MANIFEST.txt"]
    assert host.run("ls -d /var/tmp/inferops-bundle-*").rc != 0
