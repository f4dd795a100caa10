# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is in effect on the host after site.yml: not what files say, but what systemd and the kernel apply."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from testinfra.host import Host

RELEASES = "/opt/inferops/releases"
MODELS = "/var/lib/inferops/models"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ActiveState", "active"),
        ("SubState", "running"),
        ("UnitFileState", "enabled"),
        ("NeedDaemonReload", "no"),
        ("NRestarts", "0"),
        ("User", "inferops-qwen3-235b"),
        ("Group", "inferops-qwen3-235b"),
        ("ProtectProc", "invisible"),
        ("Restart", "always"),
        ("RestartPreventExitStatus", "2"),
        ("KillMode", "mixed"),
        ("LimitNOFILE", "1048576"),
        ("LimitMEMLOCK", "infinity"),
        ("UMask", "0027"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("PrivateTmp", "yes"),
        ("CapabilityBoundingSet", ""),
        # What would break GPUs or compilation must stay off.
        ("PrivateDevices", "no"),
        ("MemoryDenyWriteExecute", "no"),
        ("ProcSubset", "all"),
    ],
)
def test_property_in_effect(unit: Any, name: str, value: str) -> None:
    """systemd's own word on the running unit."""
    assert unit.show(name) == value, unit.journal()


def test_no_start_has_to_compile_vllm(host: Host) -> None:
    """The service's account may not write byte code beside the release's files: all of it came with the build."""
    package = host.check_output(f"ls -d {RELEASES}/*/lib/python3*/site-packages/vllm")
    sources, compiled = (set(host.check_output("cd %s && find . -name %s", package, pattern).splitlines()) for pattern in ("*.py", "*.pyc"))
    expected = {re.sub(r"([^/]+)\.py$", r"__pycache__/\1", path) for path in sources}
    assert len(expected) > 1000 and expected - {re.sub(r"\.cpython-\d+\.pyc$", "", path) for path in compiled} == set()


def test_address_families_let_vllm_start(unit: Any) -> None:
    """Without netlink the start fails; more than these is not needed."""
    assert set(unit.show("RestrictAddressFamilies").split()) == {"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"}


def test_stop_outlasts_requests_in_flight(unit: Any) -> None:
    """systemd waits longer for the end than vLLM does for its requests (30 s)."""
    stop = re.fullmatch(r"(?:(\d+)min)? ?(?:(\d+)s)?", unit.show("TimeoutStopUSec"))
    assert stop and int(stop[1] or 0) * 60 + int(stop[2] or 0) >= 60
    assert "--shutdown-timeout=30" in unit.show("ExecStart")


def test_start_may_take_as_long_as_loading(unit: Any) -> None:
    """An hour. The supervisor limits it, and extends systemd's own timeout while the engine loads."""
    assert unit.show("TimeoutStartUSec") == "5min" and "--start-timeout=3600 " in unit.show("ExecStart")


def test_exposure(unit: Any) -> None:
    """systemd-analyze's verdict: 4.0 or better."""
    said = unit.host.check_output("systemd-analyze security --no-pager %s", unit.name)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert level and float(level[1]) <= 4.0, said


def test_unit_passes_systemds_parser(unit: Any) -> None:
    """systemd-analyze finds nothing to say about the file."""
    done = unit.host.run("systemd-analyze verify %s", unit.show("FragmentPath"))
    assert (done.rc, [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]) == (0, [])


def test_command_has_one_flag_a_line(unit: Any) -> None:
    """`systemctl cat` shows a command that a person can read."""
    text = unit.host.check_output("systemctl cat %s", unit.name)
    start = text[text.index("ExecStart=") :].split("\n")
    lines = start[: next(i for i, line in enumerate(start) if not line.endswith("\\")) + 1]
    assert len(lines) > 5
    assert not [line for line in lines if len(re.findall(r"(?:^|\s|\")--", line)) > 1]


def test_processes_are_not_root(unit: Any) -> None:
    """The server and its engine, every one of them."""
    processes = unit.processes()
    assert len(processes) >= 2, processes
    assert {user for _pid, user in processes} == {unit.show("User")}


def test_port_belongs_to_the_unit(unit: Any, service: dict[str, Any]) -> None:
    """Who listens on the port is in the unit's control group, on all addresses."""
    said = unit.host.check_output("ss --listening --tcp --numeric --processes --no-header 'sport = :%s'" % service["port"])
    pids = {int(pid) for pid in re.findall(r"pid=(\d+)", said)}
    assert pids and pids <= {pid for pid, _user in unit.processes()}, said
    assert re.search(rf"(?:0\.0\.0\.0|\*):{service['port']}\b", said), said


def test_environment_file_is_roots_alone(unit: Any, service: dict[str, Any]) -> None:
    """It holds the secrets: 0600, in a directory that nobody else may write to."""
    file = unit.host.file(f"/etc/inferops/{service['name']}.env")
    assert (file.mode, file.user, file.group) == (0o600, "root", "root")
    assert service["api_key"] in file.content_string
    assert service["secret_environment"]["LAB_SECRET"] in file.content_string


@pytest.mark.parametrize(
    "command",
    [
        "ps axww -o args",
        "cat /etc/systemd/system/*.service",
        "systemctl show 'vllm-*' 'inferops-*'",
        "journalctl --no-pager",
        "cat /var/lib/inferops/jobs/* /var/lib/inferops/progress/*",
        "find /tmp /var/tmp /home/ops/.ansible -type f -exec cat {} +",
    ],
)
def test_secrets_are_nowhere_else(host: Host, service: dict[str, Any], command: str) -> None:
    """Not on a command line, in a unit, in the journal (where Ansible logs module arguments), or in what Ansible leaves."""
    # The search itself must not be what is found: look here, not with grep over there.
    said = host.run(command).stdout_bytes
    assert service["api_key"].encode() not in said
    assert service["secret_environment"]["LAB_SECRET"].encode() not in said


def test_secrets_do_not_show_in_the_play(play: Any, service: dict[str, Any]) -> None:
    """Not with -vvv and --diff either, which print what tasks are given and return."""
    done = play("--check", "--diff", "-vvv")
    assert done.status == 0, done.output
    assert service["api_key"] not in done.output
    assert service["secret_environment"]["LAB_SECRET"] not in done.output


def test_service_got_its_secrets(unit: Any, service: dict[str, Any]) -> None:
    """In its environment, where vLLM reads them."""
    environment = unit.host.check_output("tr '\\0' '\\n' < /proc/%s/environ", unit.main_pid).splitlines()
    assert f"VLLM_API_KEY={service['api_key']}" in environment
    assert f"LAB_SECRET={service['secret_environment']['LAB_SECRET']}" in environment


def test_release_is_complete_and_locked(host: Host) -> None:
    """One release, nothing half-built beside it, with the lock of what was installed and its verification."""
    names = host.check_output("ls -A %s", RELEASES).split()
    assert len(names) == 1 and re.fullmatch(r"vllm-0\.32\.0-[0-9a-f]{8}", names[0]), names
    release = f"{RELEASES}/{names[0]}"
    record = json.loads(host.file(f"{release}/release.json").content_string)
    assert record["verification"]["version"].startswith("0.32.0")
    lock = host.file(f"{release}/requirements.lock").content_string
    assert re.search(r"^vllm==0\.32\.0", lock, re.MULTILINE)
    assert "--hash=sha256:" in lock


def test_service_cannot_change_what_it_runs(host: Host, unit: Any) -> None:
    """Nothing in the release or the unit belongs to the service's account or is open to all."""
    said = host.check_output("find %s -not -type l '(' -not -user root -o -perm -o+w ')' | head -5", RELEASES)
    assert said == ""
    assert host.file(unit.show("FragmentPath")).user == "root"


def test_weights_are_what_the_manifest_says(host: Host) -> None:
    """Each file of the manifest, by size and sha256; and no file besides."""
    folder = f"{MODELS}/Qwen--Qwen3-235B-A22B-Instruct-2507-FP8"
    manifest_path = host.check_output("find %s -maxdepth 1 -name '*.manifest.json'", folder)
    manifest = json.loads(host.file(manifest_path).content_string)
    weights = manifest_path.removesuffix(".manifest.json")
    said = host.check_output("cd %s && find . -type f -printf '%%P\\0' | xargs -0 sha256sum", weights)
    present = {path: digest for digest, path in (line.split(maxsplit=1) for line in said.splitlines())}
    assert present == {file["path"]: file["sha256"] for file in manifest["files"]}
    assert any(path.endswith(".safetensors") for path in present)
    sizes = host.check_output("find %s -type f -printf '%%s '", weights).split()
    assert sum(file["size"] for file in manifest["files"]) == sum(int(size) for size in sizes)
    assert not host.check_output("find %s -name '*.partial' -o -name '*.incomplete'", MODELS)


def test_caches_are_in_their_place(host: Host, service: dict[str, Any]) -> None:
    """vLLM wrote into the service's cache, and not into anybody's home."""
    cache = f"/var/cache/inferops/{service['name']}"
    assert host.check_output("find %s -type f | head -1", cache)
    assert host.check_output("ls -A /root/.cache /var/lib/inferops/.cache /home/ops/.cache 2>/dev/null || true").strip() == ""


@pytest.mark.parametrize("account", ["inferops", "inferops-qwen3-235b"])
def test_accounts_cannot_log_in(host: Host, account: str) -> None:
    """No shell, no password."""
    user = host.user(account)
    assert user.shell == "/usr/sbin/nologin"
    assert user.password in ("!", "!!", "*", "!*")


def test_no_other_account_sees_into_a_service(host: Host, unit: Any, service: dict[str, Any]) -> None:
    """Neither that of another service nor that of downloads reads the environment of its processes, which has its key, nor its caches."""
    host.run_expect([0], "useradd --system --no-create-home --groups inferops inferops-another")
    try:
        for account in ("inferops", "inferops-another"):
            for pid, _user in unit.processes():
                said = host.run("sudo -u %s cat /proc/%s/environ", account, str(pid))
                assert said.rc != 0 and "Permission denied" in said.stderr and said.stdout == ""
            assert host.run("sudo -u %s ls /var/cache/inferops/%s", account, service["name"]).rc != 0
            assert host.run("sudo -u %s cat /etc/inferops/%s.env", account, service["name"]).rc != 0
    finally:
        host.run_expect([0], "userdel inferops-another")
    # What the service itself sees of others is nothing at all.
    inside = f"nsenter --target {unit.main_pid} --mount setpriv --reuid={unit.show('User')} --regid={unit.show('Group')} --init-groups"
    assert host.run(f"{inside} ls -d /proc/1").rc != 0 and host.run(f"{inside} ls -d /proc/{unit.main_pid}").rc == 0


def test_service_may_read_the_weights_and_not_write_them(host: Host, unit: Any) -> None:
    """They belong to the account that downloads, in whose group the service's is."""
    weights = host.check_output("ls -d %s/*/*.manifest.json", MODELS).split()[0].removesuffix(".manifest.json")
    assert host.run("sudo -u %s test -r %s/config.json", unit.show("User"), weights).rc == 0
    assert host.run("sudo -u %s test -w %s/config.json", unit.show("User"), weights).rc != 0
    assert host.run("sudo -u %s test -w %s", unit.show("User"), weights).rc != 0
    assert "inferops" in host.user(unit.show("User")).groups


def test_nothing_failed_on_the_host(host: Host) -> None:
    """No unit in the failed state, ours or the system's."""
    assert host.run("systemctl list-units --failed --plain --no-legend").stdout == ""


def test_second_run_changes_nothing(play: Any, unit: Any) -> None:
    """Nothing changed, nothing restarted. How quick it is stands in the bench."""
    before = unit.main_pid
    run = play()
    assert run.status == 0, run.output
    assert {host: counts["changed"] for host, counts in run.recap.items()} == dict.fromkeys(run.recap, 0), run.output
    assert unit.main_pid == before
