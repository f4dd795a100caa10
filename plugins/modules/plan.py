# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: plan
short_description: Resolve the plan of all hosts in the inventory, or report all errors at once
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Covers every host of the inventory that defines C(model_services). Merges the variables of each host with the roles' defaults and its services with
    the model catalogue, and computes arguments, paths, ports, GPUs, releases and weights. The roles only read the resolved plan.
  - Plans all hosts, whatever the limit of the run, to find conflicts between hosts.
  - Reads the facts of a host from C(__plan_facts), which the role C(inferops.gpu.plan) registers with M(inferops.gpu.host_facts).
    Without facts, the module skips the checks that need them.
  - Assembles a multi-node service (key C(distributed)) from all hosts that define it, and reports an error when a run reaches only some of them.
  - Runs on the controller, does not connect to hosts and changes nothing.
  - Checks only the form of secrets (C(api_key), C(secret_environment)). The result does not contain them.
extends_documentation_fragment:
  - inferops.gpu.attributes.read
attributes:
  action:
    description: Runs on the controller.
    support: full
seealso:
  - module: inferops.gpu.host_facts
"""

EXAMPLES = r"""
- name: Plan the whole inventory, or fail with all errors in it
  inferops.gpu.plan:
  register: planned
  run_once: true
  any_errors_fatal: true

- name: Plan the inventory
  inferops.gpu.plan:
  register: planned
  run_once: true

- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ planned.summary | join('\n') }}"
  run_once: true
"""

RETURN = r"""
hosts:
  description: The resolved plan of each host, by inventory name. Empty if there are errors. The README of the role C(plan) describes it in full.
  returned: always
  type: dict
  contains:
    # Written by `make docs` from plugins/plugin_utils/plan/output/types.py.
    host:
      description: Name in the inventory.
      type: str
    account:
      description: Account that runs downloads.
      type: dict
      contains:
        user:
          description: Name of the user.
          type: str
        group:
          description: Name of the group.
          type: str
        home:
          description: Home directory.
          type: str
        groups:
          description: "Groups that the accounts of services are members of: the primary group of this account and its supplementary groups."
          type: list
          elements: str
    paths:
      description: Directories of the collection.
      type: dict
      contains:
        config:
          description: Environment files, tokens, credentials.
          type: str
        install:
          description: Programs of the collection and uv.
          type: str
        library:
          description: "The host library in force, which units call: a link to a directory that is named after a digest of its contents."
          type: str
        releases:
          description: Releases, each in its own directory.
          type: str
        models:
          description: Downloaded weights.
          type: str
        state:
          description: Records of jobs, downloads and services.
          type: str
        cache:
          description: Compile and kernel caches, with a directory for each service.
          type: str
    packages:
      description: OS packages that the roles need beyond C(host_packages).
      type: list
      elements: str
    directories:
      description: Directories of the collection that the host lacks or that have another owner.
      type: list
      elements: dict
    proxy:
      description: Proxy through which the host reaches the internet; null for none.
      type: dict
      contains:
        http:
          description: Address of the proxy for http; empty for none.
          type: str
        https:
          description: Address of the proxy for https; empty for none.
          type: str
        no_proxy:
          description: Names and networks that the host reaches directly.
          type: list
          elements: str
        username:
          description: User of the proxy. The password is never part of the plan.
          type: str
    firewall:
      description: The firewall.
      type: dict
      contains:
        enabled:
          description: Whether the role manages the firewall.
          type: bool
        needed:
          description: Whether the role has anything to do.
          type: bool
        logging:
          description: UFW's log level; empty to keep the host's level.
          type: str
        rollback_timeout:
          description: Seconds after which the host rolls back an unconfirmed change.
          type: int
        rules:
          description: Rules, SSH first.
          type: list
          elements: dict
          contains:
            port:
              description: Port; null for all ports.
              type: int
            protocol:
              description: "C(tcp) or C(udp); null for all protocols."
              type: str
            sources:
              description: Allowed sources, as networks.
              type: list
              elements: str
            comment:
              description: "Comment of the rule in UFW, which marks it as managed: C(inferops:), the C(kind) of the rule, and the services."
              type: str
        service_comments:
          description: By service, the comments of the rules to remove with it; C(all) has those of all services.
          type: dict
    kernel:
      description: Kernel parameters, modules and limits; C(needed) is whether the role has anything to do.
      type: dict
    releases:
      description: Releases that the services run on, without duplicates.
      type: list
      elements: dict
      contains:
        name:
          description: Engine, version and a digest of everything that decides the contents of the release.
          type: str
        path:
          description: Directory of the release.
          type: str
        engine:
          description: "C(vllm) or C(transformers)."
          type: str
        package:
          description: Package of the engine, with extras.
          type: str
        version:
          description: Version of the engine.
          type: str
        source:
          description: Source of the engine.
          type: dict
          contains:
            kind:
              description: "C(index), C(nightly), C(git) or C(file)."
              type: str
            address:
              description: URL or path; empty for an index.
              type: str
            reference:
              description: Commit, tag or branch of a git repository.
              type: str
            sha256:
              description: sha256 of a file, if the user sets it.
              type: str
        requirements:
          description: Further packages, each with its version.
          type: list
          elements: str
        overrides:
          description: Requirements that override those of packages.
          type: list
          elements: str
        python:
          description: Python interpreter of the release.
          type: str
        torch_backend:
          description: uv's C(--torch-backend); empty for none.
          type: str
        cpu:
          description: Whether the release runs on CPUs only.
          type: bool
        build_environment:
          description: Environment variables of the build.
          type: dict
        verify_commands:
          description: Commands that verify the release before it gets its final name.
          type: list
          elements: list
        cuda:
          description: "CUDA toolkit of the release: source, version, path, architectures."
          type: dict
        index:
          description: Package indexes of the release.
          type: dict
          contains:
            index_url:
              description: Package index; empty for uv's own default.
              type: str
            extra_index_urls:
              description: Further indexes.
              type: list
              elements: str
            find_links:
              description: Directories and pages with wheels.
              type: list
              elements: str
            no_index:
              description: Whether to use no package index.
              type: bool
    weights:
      description: Weights that the services read, without duplicates.
      type: list
      elements: dict
      contains:
        name:
          description: Name, part of the unit's name.
          type: str
        repo:
          description: Repository on the Hugging Face Hub.
          type: str
        revision:
          description: Commit, tag or branch.
          type: str
        path:
          description: Final directory. A directory with this name is complete.
          type: str
        manifest:
          description: File with the size and sha256 of each file. It marks the weights as complete.
          type: str
        bytes:
          description: Size of the download; null if unknown.
          type: int
        exclude:
          description: Patterns of files to skip.
          type: list
          elements: str
        include:
          description: Patterns of files to download; empty for all.
          type: list
          elements: str
        token_endpoints:
          description: Endpoints that receive the token.
          type: list
          elements: str
        endpoints:
          description: Endpoints, in the order of their use.
          type: list
          elements: str
        unit:
          description: Unit that downloads or verifies the weights.
          type: str
        local:
          description: Whether the weights are on the host already and are used in place, without a download.
          type: bool
        extra:
          description: Whether the weights are from a further repository, such as an adapter, not from the model's.
          type: bool
        file:
          description: GGUF file that is the model, relative to the directory; empty for other models.
          type: str
        mount:
          description: Mount point that has to be mounted; empty for none.
          type: str
        record:
          description: File with the verification record of local weights; empty for downloaded weights.
          type: str
        share:
          description: The role of the host when hosts copy weights from each other.
          type: dict
          contains:
            role:
              description: "C(alone), C(source) (downloads and serves), or C(follower) (copies from the source)."
              type: str
            source:
              description: Name of the source host.
              type: str
            url:
              description: URL at which the source serves the weights.
              type: str
            peers:
              description: Addresses of the followers that a source serves.
              type: list
              elements: str
            download:
              description: "Settings for the download: the URL to copy from, or the export directory."
              type: dict
        to_fetch:
          description: Bytes that this run downloads; null if unknown.
          type: int
        verified:
          description: Whether the host has verified the weights since their last change.
          type: bool
    weights_share_peers:
      description: Addresses of the hosts that copy weights from this one.
      type: list
      elements: str
    services:
      description: Services; those with C(state=absent) come last and have fewer keys.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the service.
          type: str
        state:
          description: "C(present) or C(absent)."
          type: str
        unit:
          description: Main unit of the service on this host. The service is ready when this unit is active.
          type: str
        account:
          description: Account of the service.
          type: dict
          contains:
            user:
              description: Name of the user.
              type: str
            group:
              description: Name of the group.
              type: str
        environment_file:
          description: Environment file with secrets, mode 0600.
          type: str
        served:
          description: File with the last known good state of the service.
          type: str
        cache:
          description: Directory of compile and kernel caches.
          type: str
        files:
          description: Files of the controller that the service needs.
          type: dict
          contains:
            root:
              description: Parent directory of the service's current and earlier files.
              type: str
            folder:
              description: Directory of the current files, named after a digest of their contents; null without files.
              type: str
            named_by:
              description: Files that name the directories that are still needed.
              type: list
              elements: str
        units:
          description: Units of the service on this host, the main unit first; empty for a removed service.
          type: list
          elements: dict
        unit_states:
          description: Units and their states, in the form of the options of M(inferops.gpu.service_state).
          type: list
          elements: dict
        former_units:
          description: Units that the service may have had with another backend or role. They are removed; a rollback restores them.
          type: list
          elements: dict
        engine:
          description: "C(vllm) or C(transformers)."
          type: str
        model:
          description: Model as the inventory names it.
          type: str
        repo:
          description: Repository of the model.
          type: str
        revision:
          description: Commit, tag or branch.
          type: str
        release:
          description: Name of the release.
          type: str
        release_path:
          description: Directory of the release.
          type: str
        weights:
          description: Name of the weights.
          type: str
        weights_path:
          description: Directory of the weights.
          type: str
        served_model_name:
          description: Name of the model in the API.
          type: str
        served_model_names:
          description: All names of the model in the API.
          type: list
          elements: str
        address:
          description: Address that the API listens on.
          type: str
        port:
          description: Port that the API listens on.
          type: int
        url:
          description: URL of the API for the controller; null on hosts without the API.
          type: str
        local_url:
          description: URL of the API on its own host; null on hosts without the API.
          type: str
        task:
          description: Task of the service, which decides the request of the health gate.
          type: str
        thinking:
          description: "Whether the model thinks before it answers: C(never), C(always) or C(hybrid); empty if unknown."
          type: str
        thinking_switch:
          description: Argument of the chat template that turns the thinking of a hybrid model off.
          type: str
        tls:
          description: TLS of the API; null without TLS.
          type: dict
          contains:
            name:
              description: Name that the certificate has to be valid for.
              type: str
            unit:
              description: Unit that reads the files.
              type: str
            copied:
              description: Files that systemd passes to the service, by name.
              type: dict
            read:
              description: Files that the service's account reads itself.
              type: list
              elements: str
        gpus:
          description: GPUs by index, or UUIDs of MIG slices; empty if unknown.
          type: list
          elements: raw
        argv:
          description: Command line of the engine; empty on hosts where Ray starts the ranks.
          type: list
          elements: str
        environment:
          description: Environment of the engine, without secrets.
          type: dict
        missing_account:
          description: Account to create, as M(inferops.gpu.service_accounts) takes it; null if it exists with its groups.
          type: dict
        directories:
          description: Directories that the host lacks or that have another owner, as M(inferops.gpu.directories) takes them.
          type: list
          elements: dict
        own_folders:
          description: Command that gives the service's account its directories before each start.
          type: list
          elements: str
        before_start:
          description: Commands that the unit runs before each start.
          type: list
          elements: list
        arguments_checked:
          description: Whether the plan has checked all argument values by the rules of this version's own parser.
          type: bool
        arguments_stamp:
          description: File with the digest of the service when the engine last accepted its arguments.
          type: str
        has_api_key:
          description: Whether the service has an API key. The key itself is never part of the plan.
          type: bool
        replicas:
          description: Hosts with a replica of the service, this one too, in the order of the inventory; empty for multi-node services.
          type: list
          elements: str
        node:
          description: This host's node of a multi-node service; null for other services.
          type: dict
        timeouts:
          description: Timeouts of the unit.
          type: dict
          contains:
            start:
              description: Seconds until the service has to be ready.
              type: int
            stop:
              description: Seconds until systemd kills it.
              type: int
            shutdown:
              description: Seconds that a stopping service gives to requests in flight.
              type: int
        all_weights:
          description: Names of all weights that the service reads.
          type: list
          elements: str
        extra_repositories:
          description: "Further repositories in the arguments: argument, repo, revision, weights, path."
          type: list
          elements: dict
        adapters:
          description: LoRA adapters of the service.
          type: dict
          contains:
            paths:
              description: Directories on the host by the adapters' names in the API.
              type: dict
            static:
              description: Names of further adapters that the engine loads at its start, from C(lora_modules).
              type: list
              elements: str
            file:
              description: File with the adapters that the running engine follows; empty if a change restarts it, and on hosts without the API.
              type: str
        file_sources:
          description: "Files of the controller that the service needs: name and source."
          type: list
          elements: dict
        digest:
          description: Digest of everything that the service runs with.
          type: str
        green:
          description: Temporary unit of a blue/green update; null for multi-node services.
          type: dict
          contains:
            unit:
              description: Name of the unit.
              type: str
            port:
              description: Port that its API listens on.
              type: int
            gpus:
              description: GPUs by index, or UUIDs of MIG slices; empty for an engine on CPUs, or if it does not fit.
              type: list
              elements: raw
            why:
              description: Why it does not fit on the host; empty if it fits.
              type: str
            service:
              description: Keys of the service with other values in this unit; null if it does not fit, or if C(model_service_update_strategy) is V(recreate).
              type: dict
        memory:
          description: Estimate for the GPU with the least free memory; null if too little is known.
          type: dict
          contains:
            total:
              description: Memory of the GPU.
              type: int
            used:
              description: Weights, reserve and KV cache.
              type: int
            free:
              description: Memory that remains free.
              type: int
            weights:
              description: Weights.
              type: int
            reserve:
              description: Activations, CUDA graphs, buffers.
              type: int
            kv_cache:
              description: KV cache.
              type: int
            kv_bytes_per_token:
              description: KV cache per token; null if unknown.
              type: int
            max_model_len:
              description: Maximum tokens of one request; null if unknown.
              type: int
            concurrency:
              description: Number of requests of that length that fit into the KV cache at the same time; null if unknown.
              type: float
        stages:
          description: Pipeline stages; null without pipeline parallelism.
          type: dict
          contains:
            tensor_parallel_size:
              description: Number of GPUs per stage.
              type: int
            pipeline_parallel_size:
              description: Number of stages.
              type: int
            stages:
              description: Hosts, layers and memory per GPU of each stage.
              type: list
              elements: dict
            network_bytes_per_token:
              description: Bytes that the nodes send over the network for each token; null if unknown.
              type: int
    monitoring:
      description: Monitoring of the host; null without C(monitoring_host) and C(monitoring_address).
      type: dict
      contains:
        host:
          description: Host of the inventory that runs Prometheus; empty if that is none of the inventory.
          type: str
        source:
          description: IP address from which Prometheus scrapes the host; empty if unknown.
          type: str
        targets:
          description: "What Prometheus scrapes on the host: job, address, scheme, server_name, labels."
          type: list
          elements: dict
        services:
          description: Labels and objectives of each service with an API on the host.
          type: list
          elements: dict
        collector:
          description: "Settings of the collector: directories, and advisories by service."
          type: dict
    defined_in:
      description: Variables that define the services.
      type: list
      elements: str
    # Until here.
errors:
  description: Everything that is wrong in the inventory.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: Name in the inventory.
      type: str
    service:
      description: Name of the service, or empty when the error is not about a service.
      type: str
    key:
      description: The key or variable with the wrong value.
      type: str
    value:
      description: The value, or V((hidden\)) where it may be a secret.
      type: str
    why:
      description: Why the plan refuses the value.
      type: str
    fix:
      description: What to write instead.
      type: str
    check:
      description: The name by which C(plan_accept) can accept it; empty when it cannot be accepted.
      type: str
warnings:
  description: Findings that do not stop the plan.
  returned: always
  type: list
  elements: str
accepted:
  description: >-
    Findings that C(plan_accept) accepts, with C(host), C(service), C(check) (the name of the check), C(reason) (the user's) and C(finding).
  returned: always
  type: list
  elements: dict
summary:
  description: >-
    The plan of the hosts of this play as a table, the pipeline stages of services that have them, and the command of each service, as lines
    of text.
  returned: always
  type: list
  elements: str
"""
