# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that every host's draft is held against. A new check is a new function in C(RULES)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, Union

from ..clusters import Cluster, Run
from ..draft import HostDraft
from ..faults import Fault, Notice
from . import advisories, argument_values, arguments, clusters, disk, gpus, layout, memory, models, names, nodes, platform, ports, service, sharing, unknown, variants

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


# In the order in which a reader wants to hear of them.
RULES: tuple[Rule, ...] = (
    Rule(names.names_are_unique),
    Rule(models.model_is_known),
    Rule(unknown.repository_is_there),
    Rule(unknown.repository_is_known),
    Rule(models.version_is_new_enough),
    Rule(models.revision_is_pinned),
    Rule(models.license_is_gated),
    Rule(variants.variants_are_known),
    Rule(variants.profile_fits_the_gpus),
    Rule(arguments.flags_exist),
    Rule(arguments.values_can_be_written),
    Rule(argument_values.values_have_the_type),
    Rule(argument_values.chat_template_is_one),
    Rule(argument_values.lora_modules_can_be_read),
    Rule(argument_values.arguments_go_together),
    Rule(argument_values.variables_go_with_arguments),
    Rule(arguments.parsers_exist),
    Rule(arguments.parsers_fit_the_model),
    Rule(arguments.variables_exist),
    Rule(ports.ports_are_unique),
    Rule(ports.ports_need_no_root),
    Rule(ports.ports_are_free),
    Rule(ports.address_is_reachable),
    Rule(gpus.gpus_answer),
    Rule(gpus.gpus_exist),
    Rule(gpus.gpus_are_used_once),
    Rule(gpus.parallel_sizes_fit),
    Rule(nodes.interface_is_there),
    Rule(nodes.arguments_suit_several_hosts),
    Rule(nodes.version_knows_several_hosts),
    Rule(layout.model_divides),
    Rule(layout.partition_is_one),
    Rule(layout.context_is_within_the_model),
    Rule(memory.model_fits_the_gpus, accept="memory"),
    Rule(platform.driver_suits_cuda, accept="driver"),
    Rule(platform.cuda_knows_the_gpu, accept="cuda"),
    Rule(platform.gpu_computes_the_type, accept="compute-capability"),
    Rule(disk.weights_fit),
    Rule(sharing.mirror_is_there),
    Rule(sharing.share_port_is_free),
    Rule(sharing.share_interface_is_there),
    Rule(sharing.folder_is_mounted),
    Rule(sharing.folder_is_one_for_services),
    Rule(service.timeouts_fit),
    Rule(service.no_passwords_in_addresses),
    Rule(advisories.no_known_danger),
)

# What services over several hosts are held against as a whole. Nobody may accept what these find.
CLUSTER_RULES: tuple[ClusterCheck, ...] = (
    clusters.can_be_deployed,
    clusters.run_has_all_nodes,
    clusters.hosts_are_as_many_as_nodes,
    clusters.head_is_a_node,
    clusters.nodes_say_the_same,
    clusters.addresses_are_apart,
    clusters.gpus_add_up,
)
