# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Command lines that the plan renders: of everything in the catalogue, and of generated services that it accepts."""

from __future__ import annotations

import json

from pathlib import Path
from typing import Any

import yaml

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "roles" / "plan" / "files"

# By Ansible's own loader: PyPI's `ansible` package owns the name `ansible_collections` on sys.path.
_AnsibleCollectionFinder(paths=[str(ROOT / "collections")])._install()

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import catalogue
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan, resolve
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm import arguments, tables

# The public part of the lab's version, so that the plan counts with GPUs.
VERSION = "0.32.0"
GIB = 2**30
GPU = {"name": "NVIDIA H100 80GB HBM3", "memory_bytes": 81559 * 2**20, "compute_capability": "9.0", "driver_version": "580.65.06"}


def read(path: Path) -> Any:
    """A file of YAML or JSON; the reader of YAML takes ten times as long for JSON."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


class Planner:
    """The plan with all that ships with the collection, for hosts of a vLLM version, by default the lab's."""

    def __init__(self, version: str = VERSION) -> None:
        self.version = version
        self.defaults: dict[str, Any] = {}
        for path in sorted(ROOT.glob("roles/*/defaults/main.yml")):
            self.defaults.update(read(path) or {})
        self.catalogue = catalogue.built_in([read(path) for path in sorted((FILES / "catalogue").glob("*.yml"))])
        self.tables = tables.build({key: read(FILES / name) for key, name in tables.FILES.items()})
        self.types: dict[str, dict[str, Any]] = read(FILES / "vllm_types.json")["versions"][version]

    def plan(self, hosts: dict[str, dict[str, Any]]) -> Plan:
        """Plans hosts, each of one service; what one accepts by name is accepted, so that only true errors are left."""
        common = {"vllm_version": self.version, "plan_lookup": False}
        return resolve([HostInput(name, {**common, **variables}) for name, variables in hosts.items()], self.defaults, self.catalogue, self.tables)


def service(**keys: Any) -> dict[str, Any]:
    """A service, keys that are None left out."""
    return {"name": "a", "port": 8001, **{key: value for key, value in keys.items() if value is not None}}


def command_lines(plan: Plan) -> dict[str, list[str]]:
    """What each host's service gives to `vllm serve`; a model that is nowhere, so that only the arguments are checked. Fails with the plan's errors."""
    assert not plan.errors, "\n".join(f"{error.host}: {error.key}: {error.value}: {error.why}" for error in plan.errors)
    return {name: ["/no-such-model", *host["services"][0]["argv"][3:]] for name, host in plan.hosts.items()}


def whole_catalogue(planner: Planner) -> dict[str, list[str]]:
    """Every entry that can be served, with each of its profiles for one host and each of its presets, and without."""
    hosts = {}
    for entry in planner.catalogue.entries.values():
        if entry.unsupported:
            continue
        for profile in [None, *(found for found in entry.profiles.values() if found.nodes == 1)]:
            memory = int(profile.gpu_memory_gib * GIB) if profile and profile.gpu_memory_gib else 0
            # Of a GPU of which nothing is said nothing is known.
            known = {"memory_bytes": memory} if memory else {}
            gpus = [{"index": index, **known} for index in range(profile.gpus or 1 if profile else 1)]
            for preset in [None, *entry.presets]:
                label = " / ".join([entry.name, profile.name if profile else "-", preset or "-"])
                one = service(model=entry.name, profile=profile and profile.name, preset=preset)
                if entry.remote_code:
                    one.update(vllm_args={"trust_remote_code": True}, revision="0" * 40)
                hosts[label] = {"model_services": [one], "plan_gpus": gpus}
    return command_lines(planner.plan(hosts))


def multi_node_lines(planner: Planner) -> dict[str, list[str]]:
    """Every profile for several hosts, and services over two hosts in each layout: what each node gives to `vllm serve`. With Ray only the head does."""
    found: dict[str, list[str]] = {}
    for entry in planner.catalogue.entries.values():
        for profile in entry.profiles.values():
            if profile.nodes > 1 and not entry.unsupported and not entry.remote_code:
                gpus = [{"index": index, "memory_bytes": profile.gpu_memory_gib * GIB} for index in range(profile.gpus)]
                backend = "mp" if "data_parallel_size" in profile.arguments else "ray"
                one = service(model=entry.name, profile=profile.name, distributed={"nodes": profile.nodes, "backend": backend})
                found |= _of_nodes(planner, f"{entry.name} / {profile.name}", one, [gpus] * profile.nodes)
    for label, backend, counts, given in LAYOUTS:
        gpus = [{**GPU, "memory_bytes": 140 * GIB, "index": index} for index in range(8)]
        one = service(model="qwen3-235b-a22b", distributed={"nodes": len(counts), "backend": backend}, vllm_args=given)
        found |= _of_nodes(planner, label, one, [gpus[:count] for count in counts])
    halves = {"prefill": "decode", "decode": "prefill"}
    pair = {
        role: {
            "model_services": [{**service(model="qwen3-32b", disaggregation={"role": role, "peers": peers}), "name": role}],
            "plan_gpus": [{**GPU, "index": index} for index in range(8)], "ansible_host": f"10.0.0.{number}",
        }
        for number, (role, peers) in enumerate(halves.items(), 1)
    }
    return found | command_lines(planner.plan(pair))


# Layouts over hosts: a label, the backend, the GPUs of each host, the arguments.
LAYOUTS: list[tuple[str, str, tuple[int, ...], dict[str, Any]]] = [
    ("pipeline stages with mp", "mp", (8, 8), {}),
    ("data parallel", "mp", (8, 8), {"data_parallel_size": 4, "enable_expert_parallel": True}),
    ("data parallel, API servers", "mp", (8, 8), {"data_parallel_size": 4, "enable_expert_parallel": True, "api_server_count": 2}),
    ("data parallel, an API on each host", "mp", (8, 8), {"data_parallel_size": 4, "data_parallel_hybrid_lb": True}),
    ("pipeline stages on hosts of different sizes", "ray", (8, 4), {}),
    ("data parallel on hosts of different sizes", "mp", (8, 4), {"data_parallel_size": 3, "enable_expert_parallel": True}),
]


def _of_nodes(planner: Planner, label: str, one: dict[str, Any], gpus: list[list[dict[str, Any]]]) -> dict[str, list[str]]:
    """The command line of each node of a service, by this label and the node."""
    hosts = {f"gpu{n}": {"model_services": [one], "plan_gpus": here, "ansible_host": f"10.0.0.{n}"} for n, here in enumerate(gpus, 1)}
    return {f"{label} / {name}": line for name, line in command_lines(planner.plan(hosts)).items() if len(line) > 1}


# Keys in these depend on each other in ways of which the plan knows nothing: the check with the installed release finds such errors.
# A plugin is a file on the host, and brings names that only it knows.
UNKNOWN = (
    "engram_config", "pooler_config", "profiler_config", "quantization_config", "reasoning_effort_map", "reasoning_parser_plugin", "tool_parser_plugin",
)
WORDS = st.sampled_from(["auto", "a", "0", "true", "None", "", "{}", "fp8", "triton", "/etc/hosts", "a,b", "a=b", "ü", "it's", 'a "b"', "x y", "%", "$HOME"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 100) | st.sampled_from([0.5, "text", "a b", "ü"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b-c", "d_e"]), inner, max_size=2),
    max_leaves=4,
)


def numbers_of(takes: dict[str, Any]) -> st.SearchStrategy[int]:
    """Small ones, large ones, and those at the bounds."""
    return st.integers(-2, 5) | st.sampled_from([2**16, 2**31, 10**12, *(int(takes[bound]) for bound in ("ge", "gt", "le", "lt") if bound in takes)])


def named_by(takes: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Choices, in any case."""
    choices = takes.get("choices") or takes.get("names", [])
    return st.sampled_from([*choices, *(str(choice).upper() for choice in choices), *(str(choice).lower() for choice in choices)]) if choices else WORDS


def values_inside(takes: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a member of a dictionary, some of the wrong kind. What lists and dictionaries hold inside it nobody checks before vLLM does."""
    kinds = {
        "null": st.none(),
        "switch": st.booleans() | st.just("true"),
        "whole": numbers_of(takes) | numbers_of(takes).map(str),
        "number": st.floats(0, 2),
        "text": WORDS,
        "list": st.just([]),
        "dictionary": st.just({}),
    }
    wrong = st.sampled_from([None, True, 5, 0.5, "a", [], {}])
    return st.one_of(named_by(takes), *(strategy for kind, strategy in kinds.items() if kind in takes["kinds"]), wrong)


def values_of(takes: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a flag that are mostly good: of its kind, at its bounds, its choices in any case."""
    numbers, named, choices = numbers_of(takes), named_by(takes), takes.get("choices")
    known = takes.get("members")
    members = st.dictionaries(WORDS, JSON, max_size=2)
    if known:
        # A few of them at a time: each one that is wrong costs the whole service.
        names = st.lists(st.sampled_from(sorted(known)), max_size=2, unique=True)
        members = names.flatmap(lambda chosen: st.fixed_dictionaries({name: values_inside(known[name]) for name in chosen}))
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "switch": st.booleans(),
        "on": st.booleans(),
        "text": named,
        "whole": named if choices else numbers | numbers.map(str),
        "number": numbers | st.floats(0, 1) | st.sampled_from(["0.5", "1e-1", "1"]),
        "count": numbers | st.sampled_from(["8k", "8K", "1.5k", "2M", "1.5K"]),
        "count_or_auto": numbers | st.sampled_from(["8k", "32K", "auto", "Auto", "-1"]),
        "json": members | members.map(json.dumps) | WORDS,
        "json_or_text": members | WORDS,
    }
    one = kinds[takes["kind"]]
    return st.lists(one, min_size=1, max_size=3) | one if takes.get("many") else one


@st.composite
def services(draw: st.DrawFn, planner: Planner) -> dict[str, Any]:
    """A host with a service of some entry, profile and preset, and up to six more arguments."""
    entry = draw(st.sampled_from([entry for entry in planner.catalogue.entries.values() if not entry.unsupported]))
    keys = [name[2:].replace("-", "_") for name in planner.types]
    free = [key for key in keys if key not in arguments.OWNED and key not in UNKNOWN]
    profile = draw(st.sampled_from([None, *(found.name for found in entry.profiles.values() if found.nodes == 1)]))
    one = service(
        model=entry.name,
        profile=profile,
        preset=draw(st.sampled_from([None, *entry.presets])),
        vllm_args={key: draw(values_of(planner.types["--" + key.replace("_", "-")])) for key in draw(st.lists(st.sampled_from(free), max_size=6, unique=True))},
    )
    return {"model_services": [one], "plan_gpus": [{**GPU, "index": index} for index in range(entry.profiles[profile].gpus or 1 if profile else 8)]}


def accepted_services(planner: Planner, wanted: int, derandomize: bool = True) -> dict[str, list[str]]:
    """Command lines of generated services that the plan accepts, by the service as a reader wants to see it; the same on every run unless told."""
    found: dict[str, list[str]] = {}
    quietly = {"deadline": None, "database": None, "phases": [Phase.generate], "suppress_health_check": list(HealthCheck)}

    @settings(max_examples=4 * wanted, derandomize=derandomize, **quietly)
    @given(services(planner))
    def collect(host: dict[str, Any]) -> None:
        if len(found) < wanted:
            plan = planner.plan({"gpu1": host})
            if not plan.errors:
                found[json.dumps(host["model_services"][0], sort_keys=True)] = command_lines(plan)["gpu1"]

    collect()
    return found
