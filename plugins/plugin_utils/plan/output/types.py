# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resolved plan's types: every key that a role reads, with what it holds.

The README of the role C(plan) and the module's RETURN are written from here (C(make docs)), and each part of the plan is built by one of these
classes, so a key that is missing, too much or undocumented can't be. Sizes are bytes, times are seconds, paths are absolute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional


def doc(text: str) -> Any:
    """A field with its description."""
    # pylint: disable-next=invalid-field-call  # for dataclasses, of which each field has one
    return field(metadata={"description": text})


@dataclass(frozen=True)
class Account:
    """An account of the operating system."""

    user: str = doc("Name of the user.")
    group: str = doc("Name of its group.")


@dataclass(frozen=True)
class HostAccount(Account):
    """The account that downloads run under and weights belong to."""

    home: str = doc("Home directory.")
    groups: list[str] = doc("Groups that the accounts of services are members of: its own, and further groups that the host has it in.")


@dataclass(frozen=True)
class Paths:
    """Directories of the collection on the host."""

    config: str = doc("Environment files, tokens, credentials.")
    install: str = doc("Programs of the collection and uv.")
    library: str = doc("The host library in force, which units call: a link to a directory named by its contents.")
    releases: str = doc("Releases, a directory each.")
    models: str = doc("Downloaded weights.")
    state: str = doc("Records of jobs, downloads and services.")
    cache: str = doc("Compile and kernel caches, a directory for each service.")


@dataclass(frozen=True)
class Proxy:
    """How the host reaches the Internet through a proxy."""

    http: str = doc("Address for http, empty without one.")
    https: str = doc("Address for https, empty without one.")
    no_proxy: list[str] = doc("Names and networks that the host reaches directly.")
    username: str = doc("User at the proxy; the password is never part of the plan.")


@dataclass(frozen=True)
class FirewallRule:
    """What may reach the host, as M(inferops.gpu.host_firewall) takes it."""

    port: Optional[int] = doc("Port; null for all ports.")
    protocol: Optional[str] = doc("C(tcp) or C(udp); null for all protocols.")
    sources: list[str] = doc("Networks.")
    comment: str = doc("Comment of the rule in UFW, which marks it as managed: C(inferops:), its C(kind), and the services.")


@dataclass(frozen=True)
class Firewall:
    """The firewall."""

    enabled: bool = doc("Whether the role manages the firewall.")
    needed: bool = doc("Whether the role has anything to do.")
    logging: str = doc("UFW's level of logging; empty to leave the host's own.")
    rollback_timeout: int = doc("Seconds after which a change that is not confirmed is rolled back.")
    rules: list[FirewallRule] = doc("Rules, SSH first.")
    service_comments: dict[str, list[str]] = doc("Comments of the rules that are removed with a service, by service; C(all) has those of all services.")


@dataclass(frozen=True)
class Index:
    """Where a release's packages come from. It is no part of the release's name."""

    index_url: str = doc("Package index, empty for uv's own default.")
    extra_index_urls: list[str] = doc("Further indexes.")
    find_links: list[str] = doc("Directories and pages with wheels.")
    no_index: bool = doc("Whether no index is asked at all.")


@dataclass(frozen=True)
class Source:
    """Where the engine itself comes from."""

    kind: str = doc("C(index), C(nightly), C(git) or C(file).")
    address: str = doc("Address or path, empty for an index.")
    reference: str = doc("Commit, tag or branch of a git repository.")
    sha256: str = doc("Of a file, where the user gives it.")


@dataclass(frozen=True)
class Release:
    """A virtual environment with one engine."""

    name: str = doc("Engine, version and a digest of everything that decides what is in it.")
    path: str = doc("Its directory.")
    engine: str = doc("C(vllm) or C(transformers).")
    package: str = doc("Package of the engine, with extras.")
    version: str = doc("Version of the engine.")
    source: Source = doc("Where the engine comes from.")
    requirements: list[str] = doc("Further packages, each with its version.")
    overrides: list[str] = doc("Requirements that replace those of packages.")
    python: str = doc("Interpreter that it is built on.")
    torch_backend: str = doc("uv's C(--torch-backend), empty for none.")
    cpu: bool = doc("Whether it computes on processors alone.")
    build_environment: dict[str, str] = doc("Environment variables of the build.")
    verify_commands: list[list[str]] = doc("Commands that verify the release before it gets its name.")
    cuda: dict[str, Any] = doc("Its CUDA toolkit: source, version, path, architectures.")
    index: Index = doc("Where its packages come from.")


@dataclass(frozen=True)
class Share:
    """The host's part in copying weights from host to host."""

    role: str = doc("C(alone), C(source) (downloads and serves), or C(follower) (copies from the source).")
    source: str = doc("Name of the source host.")
    url: str = doc("Where the source serves.")
    peers: list[str] = doc("Addresses of the followers that a source serves.")
    download: dict[str, Any] = doc("What the download has to know of it: whom to copy from, or where to export what it has.")


@dataclass(frozen=True)
class Weights:
    """One revision of a repository on the host."""

    name: str = doc("Name, part of the unit's name.")
    repo: str = doc("Repository on the Hugging Face Hub.")
    revision: str = doc("Commit, tag or branch.")
    path: str = doc("Directory; complete when it has this name.")
    manifest: str = doc("Size and sha256 of each file; the mark of completeness.")
    bytes: Optional[int] = doc("Size of the download; null when unknown.")
    exclude: list[str] = doc("Patterns of files that are left out.")
    include: list[str] = doc("Patterns of the only files that are wanted; empty for all.")
    token_endpoints: list[str] = doc("Endpoints that get the token.")
    endpoints: list[str] = doc("Endpoints, in the order in which they are asked.")
    unit: str = doc("Unit that downloads or verifies them.")
    local: bool = doc("Whether they are used as they are on the host, without a download.")
    extra: bool = doc("Whether they are of a repository beside the model's, such as an adapter.")
    mount: str = doc("Mount point that has to be there, empty for none.")
    record: str = doc("What was verified of local weights; empty for downloaded ones.")
    share: Share = doc("The host's part in copying them from host to host.")
    to_fetch: Optional[int] = doc("Bytes that this run downloads; null when unknown.")
    verified: bool = doc("Whether the host has them, verified, since they last changed.")


@dataclass(frozen=True)
class Tls:
    """TLS of a service's API."""

    name: str = doc("Name that the certificate is verified against.")
    unit: str = doc("Unit that reads the files.")
    copied: dict[str, str] = doc("Files that systemd passes to the service, by name.")
    read: list[str] = doc("Files that the service's account reads itself.")


@dataclass(frozen=True)
class Files:
    """Files of the controller that a service needs."""

    root: str = doc("Directory of all that the service had.")
    folder: Optional[str] = doc("Directory of those that it has now, named by their contents; null without any.")
    named_by: list[str] = doc("Files that tell which of these directories are still needed.")


@dataclass(frozen=True)
class Timeouts:
    """Times of a service's unit."""

    start: int = doc("Seconds until it serves.")
    stop: int = doc("Seconds until systemd kills it.")
    shutdown: int = doc("Seconds that running requests get to finish.")


@dataclass(frozen=True)
class Memory:
    """The estimate for the fullest of a service's GPUs."""

    total: int = doc("Memory of the GPU.")
    used: int = doc("Weights, reserve and KV cache.")
    free: int = doc("What is left.")
    weights: int = doc("Weights.")
    reserve: int = doc("Activations, CUDA graphs, buffers.")
    kv_cache: int = doc("KV cache.")
    kv_bytes_per_token: Optional[int] = doc("KV cache of one token; null when unknown.")
    max_model_len: Optional[int] = doc("Tokens of one request; null when unknown.")
    concurrency: Optional[float] = doc("Requests of that length that fit at once; null when unknown.")


@dataclass(frozen=True)
class Stages:
    """Pipeline stages."""

    tensor_parallel_size: int = doc("GPUs of each stage.")
    pipeline_parallel_size: int = doc("Stages.")
    stages: list[dict[str, Any]] = doc("Each stage's hosts, layers and memory on one GPU.")
    network_bytes_per_token: Optional[int] = doc("Bytes that cross the network for each token; null when unknown.")


@dataclass(frozen=True)
class RemovedService:
    """A service with C(state=absent)."""

    name: str = doc("Name of the service.")
    state: str = doc("C(present) or C(absent).")
    unit: str = doc("Unit that stands for the service on this host: it serves when the unit is active.")
    account: Account = doc("The service's own account.")
    environment_file: str = doc("Environment with secrets, mode 0600.")
    served: str = doc("Last known good state of the service.")
    cache: str = doc("Compile and kernel caches.")
    files: Files = doc("Files of the controller that it needs.")
    units: list[dict[str, Any]] = doc("Units of a multi-node service on this host, the one that stands for it first; empty on one host.")
    unit_states: list[dict[str, Any]] = doc("Units and their states, as M(inferops.gpu.service_state) takes them.")
    former_units: list[dict[str, Any]] = doc("Units that it may have had under another backend or role, which are removed.")


@dataclass(frozen=True)
class Service(RemovedService):
    """A service with C(state=present)."""

    engine: str = doc("C(vllm) or C(transformers).")
    model: str = doc("Model as the inventory names it.")
    repo: str = doc("Repository of the model.")
    revision: str = doc("Commit, tag or branch.")
    release: str = doc("Name of its release.")
    release_path: str = doc("Directory of its release.")
    weights: str = doc("Name of its weights.")
    weights_path: str = doc("Directory of its weights.")
    served_model_name: str = doc("Name of the model in the API.")
    served_model_names: list[str] = doc("All names of the model in the API.")
    address: str = doc("Address that it listens on.")
    port: int = doc("Port that it listens on.")
    url: Optional[str] = doc("Where the controller reaches it; null on hosts whose API does not answer.")
    local_url: Optional[str] = doc("Where its own host reaches it; null as C(url).")
    task: str = doc("Task by which it is verified.")
    thinking: str = doc("Whether the model thinks before it answers: C(never), C(always) or C(hybrid); empty when unknown.")
    thinking_switch: str = doc("Argument of the chat template that turns a hybrid's thinking off.")
    tls: Optional[Tls] = doc("TLS of its API; null without.")
    gpus: list[Any] = doc("GPUs by index, or UUIDs of MIG slices; empty when unknown.")
    argv: list[str] = doc("Command line of the engine; empty on hosts where Ray starts the ranks.")
    environment: dict[str, str] = doc("Environment of the engine, without secrets.")
    missing_account: Optional[dict[str, Any]] = doc("Its account as M(inferops.gpu.service_accounts) takes it; null where the host has it and its groups.")
    directories: list[dict[str, Any]] = doc("Its directories that the host lacks, or that are another account's, as M(inferops.gpu.directories) takes them.")
    own_folders: list[str] = doc("Command that gives the service's account its directories before each start.")
    before_start: list[list[str]] = doc("Commands that the unit runs before each start.")
    arguments_checked: bool = doc("Whether the plan has checked the values of all arguments, by what the version's own parser takes.")
    arguments_stamp: str = doc("File with the digest of the service whose arguments the engine accepted last.")
    has_api_key: bool = doc("Whether it has an API key; the key itself is never part of the plan.")
    node: Optional[dict[str, Any]] = doc("This host's node of a multi-node service; null on one host.")
    timeouts: Timeouts = doc("Times of its unit.")
    all_weights: list[str] = doc("Names of all weights that it reads.")
    extra_repositories: list[dict[str, Any]] = doc("Repositories that its arguments name: argument, repo, revision, weights, path.")
    file_sources: list[dict[str, str]] = doc("Files of the controller that it needs: name and source.")
    digest: str = doc("Changes when anything that the service runs with changes.")
    memory: Optional[Memory] = doc("Estimate for the fullest of its GPUs; null when too little is known.")
    stages: Optional[Stages] = doc("Pipeline stages; null for a model in one piece.")


@dataclass(frozen=True)
class HostPlan:
    """One host's part of the plan: the fact C(plan_host)."""

    host: str = doc("Name in the inventory.")
    account: HostAccount = doc("Account that downloads run under.")
    paths: Paths = doc("Directories of the collection.")
    packages: list[str] = doc("OS packages that the roles need beyond C(host_packages).")
    directories: list[dict[str, Any]] = doc("Directories of the collection that the host lacks or that are another account's.")
    proxy: Optional[Proxy] = doc("How the host reaches the Internet through a proxy; null without one.")
    firewall: Firewall = doc("The firewall.")
    kernel: dict[str, Any] = doc("Kernel parameters, modules and limits; C(needed) is whether the role has anything to do.")
    releases: list[Release] = doc("Releases that the services run on, each once.")
    weights: list[Weights] = doc("Weights that the services read, each once.")
    weights_share_peers: list[str] = doc("Addresses of the hosts that copy weights from this one.")
    services: list[Service] = doc("Services; those with C(state=absent) come last and have fewer keys.")
    defined_in: list[str] = doc("Variables that the services come from.")
