# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The resolved plan as the roles read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils._cuda_environment import environment as cuda_environment
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.output import table
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import gpus, host_facts, service

Plans = Callable[..., Plan]
COMMIT = "e156cb4efae43fbee1a1ab073f946a1377e6b969"
MODEL_PATH = f"/var/lib/inferops/models/Qwen--Qwen3-235B-A22B-Instruct-2507-FP8/{COMMIT}"
FAILURES = "/var/lib/inferops/failures/vllm-qwen"
CACHE = "/var/cache/inferops/qwen"


def first_service(made: Plan) -> dict[str, Any]:
    """The document of the first service of gpu1, which has no errors."""
    assert made.errors == []
    return made.hosts["gpu1"]["services"][0]


PROGRAM = ["/usr/bin/python3", "-EsB", "/opt/inferops/lib/current"]


def test_a_whole_host(plan: Plans) -> None:
    """Every part of the document of the README's example, with a second service that is removed."""
    made = plan(service(name="qwen", vllm_args={"max_model_len": 32768}), {"name": "old", "state": "absent"}, facts=host_facts(), ansible_host="10.0.0.11")
    host = made.hosts["gpu1"]
    [release], [weights], [present, absent] = host["releases"], host["weights"], host["services"]
    assert host["host"] == "gpu1"
    assert host["account"] == {"user": "inferops", "group": "inferops", "home": "/var/lib/inferops", "groups": ["inferops"]}
    assert host["paths"] == {
        "config": "/etc/inferops",
        "install": "/opt/inferops",
        "library": "/opt/inferops/lib/current",
        "releases": "/opt/inferops/releases",
        "models": "/var/lib/inferops/models",
        "state": "/var/lib/inferops",
        "cache": "/var/cache/inferops",
    }
    name = release["name"]
    assert release == {
        "name": name,
        "path": f"/opt/inferops/releases/{name}",
        "version": "0.32.0",
        "engine": "vllm",
        "package": "vllm",
        "source": {"kind": "index", "address": "", "reference": "", "sha256": ""},
        "requirements": ["cuda-toolkit[nvcc,crt,nvvm,cudart,nvrtc,cupti,cccl,nvjitlink]==13.0.*", "cuda-python>=13"],
        "overrides": [],
        "python": "/usr/bin/python3",
        "torch_backend": "",
        "cpu": False,
        "build_environment": {},
        "verify_commands": [
            [*PROGRAM, "cuda.link", "--release", ".", "--final", f"/opt/inferops/releases/{name}"],
            [*PROGRAM, "cuda.smoke_test", "--release", "."],
        ],
        "cuda": {"source": "wheels", "version": "13.0", "path": "", "architectures": []},
        "index": {"index_url": "", "extra_index_urls": [], "find_links": [], "no_index": False},
    }
    assert weights == {
        "name": "qwen--qwen3-235b-a22b-instruct-2507-fp8-e156cb4e",
        "repo": "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8",
        "revision": COMMIT,
        "path": MODEL_PATH,
        "manifest": f"{MODEL_PATH}.manifest.json",
        "bytes": 236_416_915_456,
        "to_fetch": 236_416_915_456,
        "include": [],
        "exclude": [],
        "endpoints": ["https://huggingface.co", "https://hf-mirror.com"],
        "token_endpoints": ["https://huggingface.co"],
        "unit": "inferops-weights-qwen--qwen3-235b-a22b-instruct-2507-fp8-e156cb4e.service",
        "local": False,
        "extra": False,
        "file": "",
        "mount": "",
        "record": "",
        "share": {"role": "alone", "source": "", "url": "", "peers": [], "download": {"role": "alone"}},
        "verified": False,
    }
    digest = present.pop("digest")
    assert len(digest) == 64
    assert present.pop("file_sources") == []
    assert present.pop("missing_account") == {"user": "inferops-qwen", "service": "qwen", "home": "/var/cache/inferops/qwen"}
    assert present.pop("files") == {
        "root": "/etc/inferops/files/qwen",
        "folder": None,
        "named_by": ["/etc/systemd/system/vllm-qwen.service", "/var/lib/inferops/served/qwen.json"],
    }
    assert present.pop("memory") is None and present.pop("stages") is None and present.pop("all_weights") == [weights["name"]]
    assert present.pop("extra_repositories") == []
    assert present.pop("adapters") == {"paths": {}, "static": [], "file": ""}
    assert [item["path"] for item in present.pop("directories")] == ["/var/cache/inferops", CACHE, "/var/lib/inferops/failures", FAILURES]
    [unit] = present.pop("units")
    assert unit.pop("supervisor")[:5] == [*PROGRAM, "supervisor", "single"]
    assert unit == {
        "unit": "vllm-qwen.service",
        "environment_file": "/etc/inferops/qwen.env",
        "served": "/var/lib/inferops/served/qwen.json",
        "environment": present["environment"],
        "command": present["argv"],
        "runtime": "inferops-supervisor/vllm-qwen",
        "failures": FAILURES,
        "writable": [CACHE, FAILURES],
        "ray_folder": "",
        "shared_memory": "",
        "own_folders": present["own_folders"],
        "has_secrets": True,
        "what": "the engine",
        "folders": [FAILURES],
        "drain": [*PROGRAM, "drain", "close", "--unit=vllm-qwen.service", f"--engine={present['local_url']}", "--timeout=30"],
        "undrain": [*PROGRAM, "drain", "open", "--unit=vllm-qwen.service", f"--engine={present['local_url']}"],
    }
    assert present.pop("replicas") == ["gpu1"]
    assert [(item["unit"], item["state"]) for item in present.pop("unit_states")] == [
        ("ray-worker-qwen.service", "former"), ("ray-head-qwen.service", "former"), ("vllm-qwen.service", "present"),
    ]
    assert {item["state"] for item in absent.pop("unit_states")} == {"absent"}
    assert present == {
        "name": "qwen",
        "state": "present",
        "unit": "vllm-qwen.service",
        "engine": "vllm",
        "model": "qwen3-235b-a22b-instruct-2507-fp8",
        "repo": "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8",
        "revision": COMMIT,
        "release": name,
        "release_path": f"/opt/inferops/releases/{name}",
        "weights": weights["name"],
        "weights_path": MODEL_PATH,
        "served_model_name": "qwen",
        "served_model_names": ["qwen"],
        "task": "chat",
        "thinking": "never",
        "thinking_switch": "",
        "tls": None,
        "address": "0.0.0.0",
        "port": 8001,
        "url": "http://10.0.0.11:8001",
        "local_url": "http://127.0.0.1:8001",
        "gpus": [0, 1, 2, 3],
        "argv": [
            f"/opt/inferops/releases/{name}/bin/vllm",
            "serve",
            MODEL_PATH,
            "--host=0.0.0.0",
            "--port=8001",
            "--served-model-name=qwen",
            "--tensor-parallel-size=4",
            "--enable-auto-tool-choice",
            "--max-model-len=32768",
            "--shutdown-timeout=30",
            "--tool-call-parser=hermes",
        ],
        "environment": {
            **cuda_environment(f"/opt/inferops/releases/{name}"),
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "CUDA_VISIBLE_DEVICES": "0,1,2,3",
            "FLASHINFER_WORKSPACE_BASE": CACHE,
            "HF_HOME": f"{CACHE}/huggingface",
            "HF_HUB_OFFLINE": "1",
            "HOME": CACHE,
            "TORCHINDUCTOR_CACHE_DIR": f"{CACHE}/torchinductor",
            "TRANSFORMERS_OFFLINE": "1",
            "TRITON_CACHE_DIR": f"{CACHE}/triton",
            "VLLM_CACHE_ROOT": f"{CACHE}/vllm",
            "VLLM_ENGINE_READY_TIMEOUT_S": "3540",
            "VLLM_NO_USAGE_STATS": "1",
        },
        "account": {"user": "inferops-qwen", "group": "inferops-qwen"},
        "own_folders": [
            *PROGRAM, "own_folders", "--user=inferops-qwen", "--group=inferops-qwen", "--former=inferops",
            f"--folder={CACHE}", f"--folder={FAILURES}",
        ],
        "environment_file": "/etc/inferops/qwen.env",
        "served": "/var/lib/inferops/served/qwen.json",
        "cache": CACHE,
        "before_start": [
            [*PROGRAM, "cuda.clear_caches", "--release", f"/opt/inferops/releases/{name}", "--cache", CACHE],
        ],
        "arguments_checked": True,
        "arguments_stamp": "/var/lib/inferops/checked/qwen",
        "has_api_key": False,
        "node": None,
        "former_units": [
            {
                "unit": f"ray-{part}-qwen.service",
                "environment_file": f"/etc/inferops/qwen.ray-{part}.env",
                "served": f"/var/lib/inferops/served/qwen.ray-{part}.json",
                "folders": [f"/var/lib/inferops/failures/ray-{part}-qwen"],
            }
            for part in ("worker", "head")
        ],
        "timeouts": {"start": 3600, "stop": 90, "shutdown": 30},
        "green": {
            "unit": "inferops-green-qwen.service", "port": 18001, "gpus": [], "service": None,
            "why": "free GPUs of the same model that its temporary unit needs: 4, that the host has: 0",
        },
    }
    assert absent == {
        "name": "old",
        "state": "absent",
        "unit": "vllm-old.service",
        "account": {"user": "inferops-old", "group": "inferops-old"},
        "environment_file": "/etc/inferops/old.env",
        "served": "/var/lib/inferops/served/old.json",
        "cache": "/var/cache/inferops/old",
        "files": {
            "root": "/etc/inferops/files/old",
            "folder": None,
            "named_by": ["/etc/systemd/system/vllm-old.service", "/var/lib/inferops/served/old.json"],
        },
        "units": [],
        "former_units": [
            {
                "unit": f"{unit}-old.service",
                "environment_file": f"/etc/inferops/{name}.env",
                "served": f"/var/lib/inferops/served/{name}.json",
                "folders": [f"/var/lib/inferops/failures/{unit}-old", "/var/lib/inferops/ray/old"],
            }
            for unit, name in (("vllm", "old"), ("ray-worker", "old.ray-worker"), ("ray-head", "old.ray-head"))
        ],
    }


PARALLEL: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (service(), {}, "--tensor-parallel-size=4"),
    (service(gpus=[2]), {}, "--tensor-parallel-size=1"),
    (service(gpus=...), {"facts": host_facts()}, "--tensor-parallel-size=4"),
    (service(gpus=..., model="qwen3-235b-a22b"), {"plan_gpus": 8}, "--tensor-parallel-size=8"),
    (service(gpus=...), {"plan_gpus": 8, "facts": host_facts()}, "--tensor-parallel-size=4"),
    (service(gpus=...), {}, "--tensor-parallel-size=1"),
    (service(vllm_args={"pipeline_parallel_size": 2}), {}, "--tensor-parallel-size=2"),
    (service(vllm_args={"data_parallel_size": 4}), {}, "--tensor-parallel-size=1"),
    (service(vllm_args={"tensor_parallel_size": 2}), {}, "--tensor-parallel-size=2"),
    (service(vllm_args={"tensor_parallel_size": None}), {}, "--tensor-parallel-size=4"),
]


@pytest.mark.parametrize(("one", "more", "word"), PARALLEL)
def test_tensor_parallel_size(plan: Plans, one: dict[str, Any], more: dict[str, Any], word: str) -> None:
    """As many as the service has GPUs, less what the other sizes take, unless the user says so."""
    assert word in first_service(plan(one, **more))["argv"]


def test_gpus_are_named_to_cuda_only_where_the_user_names_them(plan: Plans) -> None:
    """All GPUs: nothing is set."""
    environment = first_service(plan(service(gpus=...), facts=host_facts()))["environment"]
    assert "CUDA_VISIBLE_DEVICES" not in environment and "CUDA_DEVICE_ORDER" not in environment


def test_layers_of_arguments(plan: Plans) -> None:
    """The user's words lie over the catalogue's, and null takes one away."""
    argv = first_service(plan(service(vllm_args={"enable_auto_tool_choice": None, "tool_call_parser": "qwen3_xml", "enable_prefix_caching": False})))["argv"]
    assert "--enable-auto-tool-choice" not in argv
    assert {"--tool-call-parser=qwen3_xml", "--no-enable-prefix-caching"} <= set(argv)


def test_layers_of_environment(plan: Plans) -> None:
    """Catalogue, host and service, each over the one before; null takes one away."""
    own = {"mine": {"repo": "me/mine", "environment": {"A": "catalogue", "B": "catalogue", "C": "catalogue"}}}
    made = plan(
        service(model="mine", environment={"C": "service", "TRITON_CACHE_DIR": None, "D": True}),
        plan_catalogue=own,
        model_service_environment={"B": "host", "C": "host"},
    )
    environment = first_service(made)["environment"]
    assert {name: environment.get(name) for name in ("A", "B", "C", "D", "TRITON_CACHE_DIR")} == {
        "A": "catalogue",
        "B": "host",
        "C": "service",
        "D": "1",
        "TRITON_CACHE_DIR": None,
    }


@pytest.mark.parametrize(
    ("variables", "keys", "url", "local_url"),
    [
        ({}, {}, "http://gpu1:8001", "http://127.0.0.1:8001"),
        ({"ansible_host": ["10.0.0.1"]}, {}, "http://gpu1:8001", "http://127.0.0.1:8001"),
        ({"ansible_host": ""}, {}, "http://gpu1:8001", "http://127.0.0.1:8001"),
        ({"ansible_host": "fe80::1"}, {}, "http://[fe80::1]:8001", "http://127.0.0.1:8001"),
        ({"ansible_host": "10.0.0.1"}, {"host": "10.9.9.9"}, "http://10.9.9.9:8001", "http://10.9.9.9:8001"),
        ({"ansible_host": "10.0.0.1"}, {"host": "::"}, "http://10.0.0.1:8001", "http://[::1]:8001"),
        ({"ansible_host": "10.0.0.1"}, {"vllm_args": {"ssl_certfile": "/etc/x.pem"}, "tls_server_name": "a.b"}, "https://10.0.0.1:8001", "https://127.0.0.1:8001"),
    ],
)
def test_urls(plan: Plans, variables: dict[str, Any], keys: dict[str, Any], url: str, local_url: str) -> None:
    """Where the controller and the host itself reach a service."""
    found = first_service(plan(service(**keys), **variables))
    assert (found["url"], found["local_url"]) == (url, local_url)


def test_releases_are_named_after_what_is_in_them(plan: Plans) -> None:
    """Same inputs, same name; another input, another name; another index, the same one."""

    def name(**variables: Any) -> str:
        return first_service(plan(service(), **variables))["release"]

    plain = name()
    assert name(vllm_index_url="https://mirror/simple", host_find_links=["https://mirror/wheels"]) == plain
    others = [
        name(vllm_version="0.32.0+cpu"),
        name(vllm_version="0.31.0"),
        name(vllm_requirements=["a==1"]),
        name(vllm_overrides=["a==1"]),
        name(vllm_python="/usr/bin/python3.12"),
        name(vllm_torch_backend="cu130"),
    ]
    assert len({plain, *others}) == 7
    assert all(other.startswith(("vllm-0.32.0-", "vllm-0.31.0-")) and "+" not in other for other in others)


def test_how_weights_are_loaded_is_vllms_own(plan: Plans) -> None:
    """The format, the loader's settings, and reading ahead into the page cache."""
    how = {"load_format": "runai_streamer", "safetensors_load_strategy": "prefetch", "model_loader_extra_config": {"concurrency": 16}}
    made = plan(service(vllm_args=how, vllm_requirements=["runai-model-streamer==0.17.0"]))
    assert made.errors == []
    assert {"--load-format=runai_streamer", "--safetensors-load-strategy=prefetch", '--model-loader-extra-config={"concurrency":16}'} <= set(
        first_service(made)["argv"]
    )


def test_releases_and_weights_are_listed_once(plan: Plans) -> None:
    """Two services on one release and one model; a third on a version of its own."""
    made = plan(
        service(gpus=[0]),
        service(name="b", port=8002, gpus=[1]),
        service(name="c", port=8003, gpus=[2], vllm_version="0.31.0", revision="main"),
    )
    host = made.hosts["gpu1"]
    assert [release["version"] for release in host["releases"]] == ["0.32.0", "0.31.0"]
    assert [weights["revision"] for weights in host["weights"]] == [COMMIT, "main"]
    assert host["weights"][1]["bytes"] is None


def test_indexes_fall_back_to_the_hosts(plan: Plans) -> None:
    """Each of the three for itself."""
    made = plan(
        service(),
        host_index_url="https://a/simple",
        host_extra_index_urls=["https://a/extra"],
        host_find_links=["https://a/wheels"],
        vllm_find_links=["https://b/wheels"],
    )
    assert made.hosts["gpu1"]["releases"][0]["index"] == {
        "index_url": "https://a/simple",
        "extra_index_urls": ["https://a/extra"],
        "find_links": ["https://b/wheels"],
        "no_index": False,
    }


def test_branches_with_slashes(plan: Plans) -> None:
    """A revision is one directory and one part of a unit's name."""
    [weights] = plan(service(revision="refs/pr/3")).hosts["gpu1"]["weights"]
    assert weights["path"].endswith("/refs--pr--3") and "/" not in weights["unit"]


@pytest.mark.parametrize(
    ("one", "thinking"),
    [
        (service(model="qwen3-235b-a22b"), "hybrid"),
        (service(model="qwen3-235b-a22b-thinking-2507"), "always"),
        (service(model="a/b"), ""),
        # It may do what it likes, whatever parser it has.
        (service(model="a/b", vllm_args={"reasoning_parser": "qwen3"}), ""),
    ],
)
def test_thinking(plan: Plans, one: dict[str, Any], thinking: str) -> None:
    """What the gate has to expect of an answer."""
    assert first_service(plan(one))["thinking"] == thinking


@pytest.mark.parametrize(("version", "shutdown"), [("0.17.1", 0), ("0.18.0", 30)])
def test_shutdown_timeout(plan: Plans, version: str, shutdown: int) -> None:
    """Given to the versions that know it."""
    found = first_service(plan(service(vllm_version=version)))
    assert found["timeouts"]["shutdown"] == shutdown
    assert ("--shutdown-timeout=30" in found["argv"]) == (shutdown == 30)


def test_digest_tells_any_change(plan: Plans) -> None:
    """The same for the same plan, another for another environment."""
    one, same, other = (first_service(plan(service(environment=environment)))["digest"] for environment in ({}, {}, {"A": "1"}))
    assert one == same != other


def test_secrets_are_not_in_the_plan(plan: Plans) -> None:
    """Only that there is a key."""
    made = plan(service(api_key="s3cr3t", secret_environment={"A": "s3cr3t"}))
    assert first_service(made)["has_api_key"] is True and "s3cr3t" not in repr(made)


def test_errors_of_several_hosts(plan_hosts: Callable[[list[HostInput]], Plan]) -> None:
    """One bad host does not hide another."""
    made = plan_hosts([HostInput(name, {"model_services": [service(port=0)]}) for name in ("a", "b")])
    assert [error.host for error in made.errors] == ["a", "b"]


def test_a_error_anywhere_leaves_no_document(plan_hosts: Callable[[list[HostInput]], Plan]) -> None:
    """One bad host stops all of them."""
    made = plan_hosts([HostInput("good", {"model_services": [service()]}), HostInput("bad", {"model_services": [service(port=0)]})])
    assert [error.host for error in made.errors] == ["bad"] and made.hosts == {}


def test_table(plan: Plans) -> None:
    """One line a service below the headings, columns aligned, and commands that a shell takes."""
    hosts = plan(service(vllm_args={"chat_template": "it's {{ x }}"}), {"name": "old", "state": "absent"}, facts=host_facts(gpus=gpus())).hosts.values()
    heading, present, absent = table.lines(hosts)
    assert heading.split() == ["HOST", "SERVICE", "MODEL", "RELEASE", "GPUS", "URL", "GIB", "USED", "GIB", "FREE", "CONCURRENCY", "FETCH", "GB", "BLUE/GREEN"]
    assert present.split()[:3] == ["gpu1", "qwen", "qwen3-235b-a22b-instruct-2507-fp8"] and present.split()[4:6] == ["0,1,2,3", "http://gpu1:8001"]
    assert present.split()[6:] == ["72.7", "6.9", "1.1", "x", "262144", "236.4", "no"]
    assert absent.split()[:3] == ["gpu1", "old", "(absent)"]
    assert heading.index("URL") == present.index("http://")
    title, *command = table.commands(hosts)
    assert title == "gpu1 / qwen" and command[0].endswith(" \\") and not command[-1].endswith("\\")
    assert "      '--chat-template=it'\"'\"'s {{ x }}' \\" in command
    assert table.lines([]) and table.commands([]) == []


def test_accounts_that_a_host_lacks(plan: Plans) -> None:
    """Those that are not there, and those that are not in a group that the account that downloads has got since."""
    there = {
        "inferops-a": {"group": "inferops-a", "groups": ["inferops", "render"], "comment": "inferops service a"},
        "inferops-b": {"group": "inferops-b", "groups": ["inferops"], "comment": "inferops service b"},
    }
    services = [service(name=name, port=8001 + number, gpus=[number]) for number, name in enumerate("abc")]
    made = plan(*services, facts=host_facts(gpus=gpus(4), accounts=there, account_groups=["render"]), plan_accept={"gpu-memory": "x", "memory": "x"})
    host = made.hosts["gpu1"]
    assert host["account"]["groups"] == ["inferops", "render"]
    assert [one["missing_account"] for one in host["services"]] == [
        None,
        {"user": "inferops-b", "service": "b", "home": "/var/cache/inferops/b"},
        {"user": "inferops-c", "service": "c", "home": "/var/cache/inferops/c"},
    ]
