# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resolved plan's types: every key that a role reads, with its description.

C(make docs) writes the README of the role C(plan) and the module's RETURN from this file. Each part of the plan is an instance of one of these
classes, so no key can be missing, superfluous or undocumented. Sizes are bytes, times are seconds, paths are absolute.
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
    group: str = doc("Name of the group.")


@dataclass(frozen=True)
class HostAccount(Account):
    """The account that runs downloads and owns the weights."""

    home: str = doc("Home directory.")
    groups: list[str] = doc("Groups that the accounts of services are members of: the primary group of this account and its supplementary groups.")


@dataclass(frozen=True)
class Paths:
    """Directories of the collection on the host."""

    config: str = doc("Environment files, tokens, credentials.")
    install: str = doc("Programs of the collection and uv.")
    library: str = doc("The host library in force, which units call: a link to a directory that is named after a digest of its contents.")
    releases: str = doc("Releases, each in its own directory.")
    models: str = doc("Downloaded weights.")
    state: str = doc("Records of jobs, downloads and services.")
    cache: str = doc("Compile and kernel caches, with a directory for each service.")


@dataclass(frozen=True)
class Proxy:
    """The proxy through which the host reaches the internet."""

    http: str = doc("Address of the proxy for http; empty for none.")
    https: str = doc("Address of the proxy for https; empty for none.")
    no_proxy: list[str] = doc("Names and networks that the host reaches directly.")
    username: str = doc("User of the proxy. The password is never part of the plan.")


@dataclass(frozen=True)
class FirewallRule:
    """A firewall rule, in the form of the options of M(inferops.gpu.host_firewall)."""

    port: Optional[int] = doc("Port; null for all ports.")
    protocol: Optional[str] = doc("C(tcp) or C(udp); null for all protocols.")
    sources: list[str] = doc("Allowed sources, as networks.")
    comment: str = doc("Comment of the rule in UFW, which marks it as managed: C(inferops:), the C(kind) of the rule, and the services.")


@dataclass(frozen=True)
class Firewall:
    """The firewall."""

    enabled: bool = doc("Whether the role manages the firewall.")
    needed: bool = doc("Whether the role has anything to do.")
    logging: str = doc("UFW's log level; empty to keep the host's level.")
    rollback_timeout: int = doc("Seconds after which the host rolls back an unconfirmed change.")
    rules: list[FirewallRule] = doc("Rules, SSH first.")
    service_comments: dict[str, list[str]] = doc("By service, the comments of the rules to remove with it; C(all) has those of all services.")


@dataclass(frozen=True)
class Index:
    """The package indexes of a release. They are not part of the release's name."""

    index_url: str = doc("Package index; empty for uv's own default.")
    extra_index_urls: list[str] = doc("Further indexes.")
    find_links: list[str] = doc("Directories and pages with wheels.")
    no_index: bool = doc("Whether to use no package index.")


@dataclass(frozen=True)
class Source:
    """The source of the engine."""

    kind: str = doc("C(index), C(nightly), C(git) or C(file).")
    address: str = doc("URL or path; empty for an index.")
    reference: str = doc("Commit, tag or branch of a git repository.")
    sha256: str = doc("sha256 of a file, if the user sets it.")


@dataclass(frozen=True)
class Release:
    """A virtual environment with one engine."""

    name: str = doc("Engine, version and a digest of everything that decides the contents of the release.")
    path: str = doc("Directory of the release.")
    engine: str = doc("C(vllm) or C(transformers).")
    package: str = doc("Package of the engine, with extras.")
    version: str = doc("Version of the engine.")
    source: Source = doc("Source of the engine.")
    requirements: list[str] = doc("Further packages, each with its version.")
    overrides: list[str] = doc("Requirements that override those of packages.")
    python: str = doc("Python interpreter of the release.")
    torch_backend: str = doc("uv's C(--torch-backend); empty for none.")
    cpu: bool = doc("Whether the release runs on CPUs only.")
    build_environment: dict[str, str] = doc("Environment variables of the build.")
    verify_commands: list[list[str]] = doc("Commands that verify the release before it gets its final name.")
    cuda: dict[str, Any] = doc("CUDA toolkit of the release: source, version, path, architectures.")
    index: Index = doc("Package indexes of the release.")


@dataclass(frozen=True)
class Share:
    """The role of the host when hosts copy weights from each other."""

    role: str = doc("C(alone), C(source) (downloads and serves), or C(follower) (copies from the source).")
    source: str = doc("Name of the source host.")
    url: str = doc("URL at which the source serves the weights.")
    peers: list[str] = doc("Addresses of the followers that a source serves.")
    download: dict[str, Any] = doc("Settings for the download: the URL to copy from, or the export directory.")


@dataclass(frozen=True)
class Weights:
    """One revision of a repository on the host."""

    name: str = doc("Name, part of the unit's name.")
    repo: str = doc("Repository on the Hugging Face Hub.")
    revision: str = doc("Commit, tag or branch.")
    path: str = doc("Final directory. A directory with this name is complete.")
    manifest: str = doc("File with the size and sha256 of each file. It marks the weights as complete.")
    bytes: Optional[int] = doc("Size of the download; null if unknown.")
    exclude: list[str] = doc("Patterns of files to skip.")
    include: list[str] = doc("Patterns of files to download; empty for all.")
    token_endpoints: list[str] = doc("Endpoints that receive the token.")
    endpoints: list[str] = doc("Endpoints, in the order of their use.")
    unit: str = doc("Unit that downloads or verifies the weights.")
    local: bool = doc("Whether the weights are on the host already and are used in place, without a download.")
    extra: bool = doc("Whether the weights are from a further repository, such as an adapter, not from the model's.")
    file: str = doc("GGUF file that is the model, relative to the directory; empty for other models.")
    mount: str = doc("Mount point that has to be mounted; empty for none.")
    record: str = doc("File with the verification record of local weights; empty for downloaded weights.")
    share: Share = doc("The role of the host when hosts copy weights from each other.")
    to_fetch: Optional[int] = doc("Bytes that this run downloads; null if unknown.")
    verified: bool = doc("Whether the host has verified the weights since their last change.")


@dataclass(frozen=True)
class Tls:
    """TLS of a service's API."""

    name: str = doc("Name that the certificate has to be valid for.")
    unit: str = doc("Unit that reads the files.")
    copied: dict[str, str] = doc("Files that systemd passes to the service, by name.")
    read: list[str] = doc("Files that the service's account reads itself.")


@dataclass(frozen=True)
class Adapters:
    """LoRA adapters of a service."""

    paths: dict[str, str] = doc("Directories on the host by the adapters' names in the API.")
    static: list[str] = doc("Names of further adapters that the engine loads at its start, from C(lora_modules).")
    file: str = doc("File with the adapters that the running engine follows; empty if a change restarts it, and on hosts without the API.")


@dataclass(frozen=True)
class Files:
    """Files of the controller that a service needs."""

    root: str = doc("Parent directory of the service's current and earlier files.")
    folder: Optional[str] = doc("Directory of the current files, named after a digest of their contents; null without files.")
    named_by: list[str] = doc("Files that name the directories that are still needed.")


@dataclass(frozen=True)
class Timeouts:
    """Timeouts of a service's unit."""

    start: int = doc("Seconds until the service has to be ready.")
    stop: int = doc("Seconds until systemd kills it.")
    shutdown: int = doc("Seconds that a stopping service gives to requests in flight.")


@dataclass(frozen=True)
class Memory:
    """The memory estimate for the GPU of a service with the least free memory."""

    total: int = doc("Memory of the GPU.")
    used: int = doc("Weights, reserve and KV cache.")
    free: int = doc("Memory that remains free.")
    weights: int = doc("Weights.")
    reserve: int = doc("Activations, CUDA graphs, buffers.")
    kv_cache: int = doc("KV cache.")
    kv_bytes_per_token: Optional[int] = doc("KV cache per token; null if unknown.")
    max_model_len: Optional[int] = doc("Maximum tokens of one request; null if unknown.")
    concurrency: Optional[float] = doc("Number of requests of that length that fit into the KV cache at the same time; null if unknown.")


@dataclass(frozen=True)
class Stages:
    """Pipeline stages."""

    tensor_parallel_size: int = doc("Number of GPUs per stage.")
    pipeline_parallel_size: int = doc("Number of stages.")
    stages: list[dict[str, Any]] = doc("Hosts, layers and memory per GPU of each stage.")
    network_bytes_per_token: Optional[int] = doc("Bytes that the nodes send over the network for each token; null if unknown.")


@dataclass(frozen=True)
class Green:
    """The temporary unit of a blue/green update, in which a service's new engine starts beside the old one."""

    unit: str = doc("Name of the unit.")
    port: int = doc("Port that its API listens on.")
    gpus: list[Any] = doc("GPUs by index, or UUIDs of MIG slices; empty for an engine on CPUs, or if it does not fit.")
    why: str = doc("Why it does not fit on the host; empty if it fits.")
    service: Optional[dict[str, Any]] = doc(
        "Keys of the service with other values in this unit; null if it does not fit, or if C(model_service_update_strategy) is V(recreate)."
    )


@dataclass(frozen=True)
class RemovedService:
    """A service with C(state=absent)."""

    name: str = doc("Name of the service.")
    state: str = doc("C(present) or C(absent).")
    unit: str = doc("Main unit of the service on this host. The service is ready when this unit is active.")
    account: Account = doc("Account of the service.")
    environment_file: str = doc("Environment file with secrets, mode 0600.")
    served: str = doc("File with the last known good state of the service.")
    cache: str = doc("Directory of compile and kernel caches.")
    files: Files = doc("Files of the controller that the service needs.")
    units: list[dict[str, Any]] = doc("Units of the service on this host, the main unit first; empty for a removed service.")
    unit_states: list[dict[str, Any]] = doc("Units and their states, in the form of the options of M(inferops.gpu.service_state).")
    former_units: list[dict[str, Any]] = doc("Units that the service may have had with another backend or role. They are removed; a rollback restores them.")


@dataclass(frozen=True)
class Service(RemovedService):
    """A service with C(state=present)."""

    engine: str = doc("C(vllm) or C(transformers).")
    model: str = doc("Model as the inventory names it.")
    repo: str = doc("Repository of the model.")
    revision: str = doc("Commit, tag or branch.")
    release: str = doc("Name of the release.")
    release_path: str = doc("Directory of the release.")
    weights: str = doc("Name of the weights.")
    weights_path: str = doc("Directory of the weights.")
    served_model_name: str = doc("Name of the model in the API.")
    served_model_names: list[str] = doc("All names of the model in the API.")
    address: str = doc("Address that the API listens on.")
    port: int = doc("Port that the API listens on.")
    url: Optional[str] = doc("URL of the API for the controller; null on hosts without the API.")
    local_url: Optional[str] = doc("URL of the API on its own host; null on hosts without the API.")
    task: str = doc("Task of the service, which decides the request of the health gate.")
    thinking: str = doc("Whether the model thinks before it answers: C(never), C(always) or C(hybrid); empty if unknown.")
    thinking_switch: str = doc("Argument of the chat template that turns the thinking of a hybrid model off.")
    tls: Optional[Tls] = doc("TLS of the API; null without TLS.")
    gpus: list[Any] = doc("GPUs by index, or UUIDs of MIG slices; empty if unknown.")
    argv: list[str] = doc("Command line of the engine; empty on hosts where Ray starts the ranks.")
    environment: dict[str, str] = doc("Environment of the engine, without secrets.")
    missing_account: Optional[dict[str, Any]] = doc("Account to create, as M(inferops.gpu.service_accounts) takes it; null if it exists with its groups.")
    directories: list[dict[str, Any]] = doc("Directories that the host lacks or that have another owner, as M(inferops.gpu.directories) takes them.")
    own_folders: list[str] = doc("Command that gives the service's account its directories before each start.")
    before_start: list[list[str]] = doc("Commands that the unit runs before each start.")
    arguments_checked: bool = doc("Whether the plan has checked all argument values by the rules of this version's own parser.")
    arguments_stamp: str = doc("File with the digest of the service when the engine last accepted its arguments.")
    has_api_key: bool = doc("Whether the service has an API key. The key itself is never part of the plan.")
    replicas: list[str] = doc("Hosts with a replica of the service, this one too, in the order of the inventory; empty for multi-node services.")
    node: Optional[dict[str, Any]] = doc("This host's node of a multi-node service; null for other services.")
    timeouts: Timeouts = doc("Timeouts of the unit.")
    all_weights: list[str] = doc("Names of all weights that the service reads.")
    extra_repositories: list[dict[str, Any]] = doc("Further repositories in the arguments: argument, repo, revision, weights, path.")
    adapters: Adapters = doc("LoRA adapters of the service.")
    file_sources: list[dict[str, str]] = doc("Files of the controller that the service needs: name and source.")
    digest: str = doc("Digest of everything that the service runs with.")
    green: Optional[Green] = doc("Temporary unit of a blue/green update; null for multi-node services.")
    memory: Optional[Memory] = doc("Estimate for the GPU with the least free memory; null if too little is known.")
    stages: Optional[Stages] = doc("Pipeline stages; null without pipeline parallelism.")


@dataclass(frozen=True)
class Monitoring:
    """The monitoring of a host."""

    host: str = doc("Host of the inventory that runs Prometheus; empty if that is none of the inventory.")
    source: str = doc("IP address from which Prometheus scrapes the host; empty if unknown.")
    targets: list[dict[str, Any]] = doc("What Prometheus scrapes on the host: job, address, scheme, server_name, labels.")
    services: list[dict[str, Any]] = doc("Labels and objectives of each service with an API on the host.")
    collector: dict[str, Any] = doc("Settings of the collector: directories, and advisories by service.")


@dataclass(frozen=True)
class HostPlan:
    """The plan of one host: the fact C(plan_host)."""

    host: str = doc("Name in the inventory.")
    account: HostAccount = doc("Account that runs downloads.")
    paths: Paths = doc("Directories of the collection.")
    packages: list[str] = doc("OS packages that the roles need beyond C(host_packages).")
    directories: list[dict[str, Any]] = doc("Directories of the collection that the host lacks or that have another owner.")
    proxy: Optional[Proxy] = doc("Proxy through which the host reaches the internet; null for none.")
    firewall: Firewall = doc("The firewall.")
    kernel: dict[str, Any] = doc("Kernel parameters, modules and limits; C(needed) is whether the role has anything to do.")
    releases: list[Release] = doc("Releases that the services run on, without duplicates.")
    weights: list[Weights] = doc("Weights that the services read, without duplicates.")
    weights_share_peers: list[str] = doc("Addresses of the hosts that copy weights from this one.")
    services: list[Service] = doc("Services; those with C(state=absent) come last and have fewer keys.")
    monitoring: Optional[Monitoring] = doc("Monitoring of the host; null without C(monitoring_host) and C(monitoring_address).")
    defined_in: list[str] = doc("Variables that define the services.")
