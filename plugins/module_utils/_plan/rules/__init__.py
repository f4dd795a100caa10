# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that every host's draft is held against. A new check is a new function in C(RULES)."""

from __future__ import annotations

from typing import Callable, Iterator, Union

from ..draft import HostDraft
from ..faults import Fault, Notice
from . import arguments, disk, gpus, models, names, ports, service, variants

Finding = Union[Fault, Notice]
Rule = Callable[[HostDraft], Iterator[Finding]]

# In the order in which a reader wants to hear of them.
RULES: tuple[Rule, ...] = (
    names.names_are_unique,
    models.model_is_known,
    models.version_is_new_enough,
    models.revision_is_pinned,
    models.license_is_gated,
    variants.variants_are_known,
    variants.profile_fits_the_gpus,
    arguments.flags_exist,
    arguments.values_can_be_written,
    arguments.parsers_exist,
    arguments.parsers_fit_the_model,
    arguments.variables_exist,
    ports.ports_are_unique,
    ports.ports_need_no_root,
    ports.ports_are_free,
    ports.address_is_reachable,
    gpus.gpus_answer,
    gpus.gpus_exist,
    gpus.gpus_are_used_once,
    gpus.parallel_sizes_fit,
    disk.weights_fit,
    service.timeouts_fit,
    service.no_passwords_in_addresses,
)
