# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that every host's draft is held against. A new check is a new function in C(RULES)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Iterator, Union

from ..errors import Fault, Notice
from ..inputs.run import Run
from ..placement.draft import HostDraft
from ..placement.multi_node import Cluster
from ..vllm.engines import VLLM
from . import (
    advisories,
    answers,
    argument_names,
    argument_needs,
    argument_values,
    arguments,
    clusters,
    credentials,
    cuda,
    data_parallel,
    disk,
    engines,
    firewall,
    firewall_host,
    gpus,
    kernel,
    layout,
    memory,
    models,
    names,
    nodes,
    platform,
    ports,
    releases,
    repositories,
    service,
    service_files,
    sharing,
    strays,
    systems,
    tls,
    unknown,
    variants,
)

Finding = Union[Fault, Notice]
Check = Callable[[HostDraft], Iterator[Finding]]
ClusterCheck = Callable[[Cluster, Run], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """A check. C(accept) is the name by which a user may accept what it finds; empty when nobody may."""

    check: Check
    accept: str = ""

    @property
    def name(self) -> str:
        return self.accept or self.check.__name__.replace("_", "-")

    def findings(self, host: HostDraft) -> Iterator[Finding]:
        """What the check finds of a host. Unless it is one of C(EVERY_ENGINE) it is shown services on vLLM alone."""
        if self.check not in EVERY_ENGINE and any(draft.engine != VLLM for draft in host.services):
            host = replace(host, services=tuple(draft for draft in host.services if draft.engine == VLLM))
        return self.check(host)


# In the order in which a reader wants to hear of them.
RULES: tuple[Rule, ...] = (
    Rule(names.names_are_unique),
    Rule(credentials.no_credentials_in_values),
    Rule(systems.system_has_the_tools),
    Rule(systems.system_is_supported, accept="system"),
    Rule(systems.python_is_there),
    Rule(systems.python_suits_the_engine, accept="python"),
    Rule(systems.wheels_suit_the_machine, accept="architecture"),
    Rule(systems.wheelhouse_suits_the_host),
    Rule(names.names_are_nobodys),
    Rule(names.accounts_are_nobodys),
    Rule(names.nodes_are_not_the_engine),
    Rule(models.model_is_known),
    Rule(unknown.repository_is_there),
    Rule(unknown.repository_is_known),
    Rule(models.version_is_new_enough),
    Rule(models.revision_is_pinned),
    Rule(releases.sources_are_fixed),
    Rule(releases.nightlies_have_an_index),
    Rule(releases.wheelhouses_are_named),
    Rule(releases.files_are_of_the_version),
    Rule(models.license_is_gated),
    Rule(variants.variants_are_known),
    Rule(variants.profile_fits_the_gpus),
    Rule(engines.keys_are_of_the_engine),
    Rule(engines.transformers_arguments_can_be_written),
    Rule(engines.served_name_can_be_kept),
    Rule(engines.key_is_kept_by_somebody),
    Rule(engines.limits_are_told, accept="single-user"),
    Rule(service_files.files_are_named),
    Rule(arguments.flags_exist),
    Rule(argument_names.flags_are_given_once),
    Rule(arguments.values_can_be_written),
    Rule(argument_names.values_are_checked, accept="unchecked-values"),
    Rule(argument_values.values_have_the_type),
    Rule(argument_names.closed_names_exist),
    Rule(argument_names.registered_names_exist, accept="plugin-names"),
    Rule(argument_needs.packages_are_there, accept="packages"),
    Rule(argument_needs.paths_can_be_seen),
    Rule(argument_needs.quantization_is_the_weights, accept="quantization"),
    Rule(platform.cache_type_suits_the_gpu, accept="kv-cache-dtype"),
    Rule(argument_values.chat_template_is_one),
    Rule(argument_values.lora_modules_can_be_read),
    Rule(repositories.places_can_be_brought),
    Rule(repositories.extra_repositories_are_there),
    Rule(repositories.code_is_in_the_repository, accept="remote-code"),
    Rule(repositories.extra_repositories_are_named),
    Rule(repositories.extra_repositories_are_pinned),
    Rule(argument_values.arguments_go_together),
    Rule(argument_values.variables_go_with_arguments),
    Rule(arguments.parsers_exist),
    Rule(arguments.parsers_fit_the_model),
    Rule(argument_names.parsers_are_the_models, accept="parser"),
    Rule(argument_names.parsers_know_the_template, accept="template-parser"),
    Rule(arguments.variables_exist),
    Rule(tls.tls_can_start),
    Rule(tls.tls_name_is_known),
    Rule(ports.ports_are_unique),
    Rule(ports.ports_are_not_ssh),
    Rule(ports.ports_need_no_root),
    Rule(ports.ports_are_free),
    Rule(ports.address_is_reachable),
    Rule(ports.address_is_of_the_hosts_kind),
    Rule(answers.everything_was_answered),
    Rule(firewall.others_do_not_manage_it),
    Rule(firewall.somebody_is_let_in),
    Rule(firewall.controller_is_let_in),
    Rule(firewall.world_is_let_in_with_keys_only, accept="open-world"),
    Rule(firewall.containers_bypass_it, accept="published-ports"),
    Rule(firewall.last_change_was_confirmed),
    Rule(firewall_host.kernel_can_filter),
    Rule(firewall_host.what_goes_out_is_let_out, accept="deny-outgoing"),
    Rule(firewall_host.others_are_shut, accept="shut-ports"),
    Rule(gpus.gpus_answer),
    Rule(gpus.gpus_exist),
    Rule(gpus.gpus_are_well),
    Rule(gpus.gpus_are_whole_or_slices),
    Rule(gpus.gpus_are_used_once),
    Rule(strays.strays_are_told),
    Rule(strays.held_gpus_are_left_alone, accept="held-gpus"),
    Rule(gpus.parallel_sizes_fit),
    Rule(nodes.interface_is_there),
    Rule(nodes.arguments_suit_several_hosts),
    Rule(nodes.variables_are_the_plans),
    Rule(data_parallel.ranks_are_all_here, accept="data-parallel-hosts"),
    Rule(nodes.version_knows_several_hosts),
    Rule(nodes.transport_is_known),
    Rule(nodes.ports_are_in_range),
    Rule(nodes.temp_dir_is_short),
    Rule(nodes.object_stores_fit),
    Rule(layout.model_divides),
    Rule(layout.blocks_divide, accept="fp8-blocks"),
    Rule(layout.groups_divide, accept="group-size"),
    Rule(layout.partition_is_one),
    Rule(layout.drafter_is_cut_alike),
    Rule(layout.context_is_within_the_model),
    Rule(memory.model_fits_the_gpus, accept="memory"),
    Rule(platform.driver_suits_cuda, accept="driver"),
    Rule(platform.cuda_knows_the_gpu, accept="cuda"),
    Rule(platform.kernels_know_the_gpu, accept="kernels"),
    Rule(memory.memory_is_known, accept="gpu-memory"),
    Rule(platform.gpu_computes_the_type, accept="compute-capability"),
    Rule(cuda.toolkit_can_be_had),
    Rule(cuda.compiler_is_there, accept="cuda-compiler"),
    Rule(cuda.architectures_are_known),
    Rule(cuda.path_lists_have_no_holes),
    Rule(cuda.fabric_manager_goes_with_the_driver, accept="fabric-manager"),
    Rule(disk.mounts_can_be_written),
    Rule(disk.mounts_can_be_loaded_from, accept="noexec"),
    Rule(disk.room_is_enough, accept="disk"),
    Rule(sharing.mirror_is_there),
    Rule(sharing.share_port_is_free),
    Rule(sharing.share_interface_is_there),
    Rule(sharing.folder_is_mounted),
    Rule(sharing.folder_is_one_for_services),
    Rule(service.timeouts_fit),
    Rule(service.restarts_can_be_left_out),
    Rule(service.proxy_has_an_address),
    Rule(kernel.parameters_exist),
    Rule(kernel.governor_is_there),
    Rule(kernel.buckets_are_enough),
    Rule(advisories.no_known_danger),
)

# Checks that make sense of a service whatever its engine; the others are about vLLM's arguments, versions and needs.
EVERY_ENGINE: frozenset[Check] = frozenset({
    names.names_are_unique,
    names.names_are_nobodys,
    names.accounts_are_nobodys,
    models.model_is_known,
    models.revision_is_pinned,
    models.license_is_gated,
    unknown.repository_is_there,
    unknown.repository_is_known,
    engines.keys_are_of_the_engine,
    engines.transformers_arguments_can_be_written,
    engines.served_name_can_be_kept,
    engines.key_is_kept_by_somebody,
    engines.limits_are_told,
    ports.ports_are_unique,
    ports.ports_need_no_root,
    ports.ports_are_free,
    ports.address_is_reachable,
    gpus.gpus_answer,
    gpus.gpus_exist,
    gpus.gpus_are_well,
    gpus.gpus_are_whole_or_slices,
    gpus.gpus_are_used_once,
    strays.strays_are_told,
    strays.held_gpus_are_left_alone,
    releases.wheelhouses_are_named,
    disk.mounts_can_be_written,
    disk.mounts_can_be_loaded_from,
    disk.room_is_enough,
    systems.system_is_supported,
    systems.system_has_the_tools,
    systems.python_is_there,
    systems.python_suits_the_engine,
    systems.wheels_suit_the_machine,
    systems.wheelhouse_suits_the_host,
    service.timeouts_fit,
    service.restarts_can_be_left_out,
    credentials.no_credentials_in_values,
    service.proxy_has_an_address,
    advisories.no_known_danger,
})

# What services over several hosts are held against as a whole. Nobody may accept what these find.
CLUSTER_RULES: tuple[ClusterCheck, ...] = (
    clusters.run_has_all_nodes,
    clusters.hosts_are_as_many_as_nodes,
    clusters.head_is_a_node,
    clusters.nodes_say_the_same,
    clusters.addresses_are_apart,
    clusters.names_are_apart,
    firewall.peers_have_addresses,
    clusters.ray_has_ipv4,
    clusters.gpus_add_up,
)
