# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every unit of a service has: the supervisor as its main process, the command that it supervises, its directories. And the one unit of a service
on one host; those of multi-node services are in node_units."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Mapping, Sequence

from ..inputs.settings.accounts import account_name
from ..inputs.facts import HELD_BY
from ..programs import program
from .draft import HostDraft, ServiceDraft


@dataclass(frozen=True)
class ServiceUnit:
    """One unit of a service on a host. C(supervisor) is the command line of the supervisor, C(command) that of the supervised program."""

    unit: str
    environment_file: str
    served: str
    environment: dict[str, str]
    supervisor: list[str]
    command: list[str]
    runtime: str
    failures: str
    writable: list[str]
    # Ray's directory for sockets and logs, empty without Ray. It belongs to root, and the service's group may write it.
    ray_folder: str
    # A directory in the host's shared memory that the service's units on this host share; empty where a unit has its own shared memory.
    shared_memory: str
    # The command that changes the owner of these directories to the service's account. It runs as root before each start.
    own_folders: list[str]
    # Whether the unit gets the service's own secrets. Ray's daemons do not need them.
    has_secrets: bool
    what: str
    # Directories that are removed with the service.
    folders: list[str]
    # Commands that run as root: the first closes the API's port to new connections and waits for running requests, before the unit stops; the second
    # opens the port again. Empty for units without an API of their own, and for multi-node services, whose nodes stop together.
    drain: list[str] = field(default_factory=list)
    undrain: list[str] = field(default_factory=list)
    # Groups that may open the device files of AMD's GPUs. NVIDIA's are open to all accounts.
    device_groups: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The unit for the roles. Only those on AMD GPUs have C(device_groups), so that the digests of others stay as they are."""
        return {name: value for name, value in vars(self).items() if value or name != "device_groups"}


def single_unit(
    host: HostDraft, draft: ServiceDraft, argv: list[str], local_url: str | None, unit: str = "", failures: str = "", drain_options: Sequence[str] = (),
) -> ServiceUnit:
    """The unit of a service on one host; with C(unit) another unit with this name, whose failures are logged in the directory C(failures)."""
    unit = unit or draft.service.unit
    flags = {"name": host.name, "what": "the engine", **engine_flags(host, draft, local_url)}
    made = service_unit(host, draft, unit, str(draft.service.name), "single", flags, argv, draft.environment, failures=failures)
    if local_url is None:
        return made
    drain, undrain = (
        program(host.settings.host_install_dir, "drain", action, f"--unit={unit}", f"--engine={local_url}", *drain_options, *options)
        for action, options in (("close", [f"--timeout={_drain_seconds(host, draft)}"]), ("open", []))
    )
    return replace(made, drain=drain, undrain=undrain)


def _drain_seconds(host: HostDraft, draft: ServiceDraft) -> int:
    """Seconds that running requests get before the unit stops: the engine's own shutdown timeout, or the setting where the engine has none
    (Transformers, vLLM before 0.18)."""
    return draft.shutdown_timeout if "shutdown_timeout" in draft.arguments else host.settings.model_service_shutdown_timeout


def engine_flags(host: HostDraft, draft: ServiceDraft, local_url: str | None) -> dict[str, Any]:
    """The supervisor's options about an engine: where it probes its API, and how often."""
    settings = host.settings
    return {
        "engine": local_url,
        "model": draft.service.served_model_name or draft.service.name,
        "task": draft.task,
        "probe_interval": settings.model_service_probe_interval,
        "probe_timeout": settings.model_service_probe_timeout,
        "liveness_timeout": settings.model_service_liveness_timeout,
    }


def service_unit(
    host: HostDraft, draft: ServiceDraft, unit: str, name: str, role: str, flags: Mapping[str, Any], command: list[str], environment: Mapping[str, str],
    ray_folder: str = "", shared_memory: str = "", has_secrets: bool = True, failures: str = "",
) -> ServiceUnit:
    """A unit of a service.

    :param name: base name of its files on the host
    :param role: role of its supervisor
    :param failures: directory of the logs of its failures, instead of its own
    :param flags: options of its supervisor, beside those that all have; an option with a list is given once for each of its items
    """
    settings = host.settings
    base = unit.rpartition(".")[0]
    failures = failures or f"{settings.host_state_dir}/failures/{base}"
    given = {
        "service": draft.service.name,
        "failures": failures,
        "start_timeout": settings.model_service_start_timeout,
        "stop_timeout": max(1, settings.model_service_stop_timeout - 10),
        # Without CUDA_VISIBLE_DEVICES a service uses all GPUs of the host. The supervisor looks at those of NVIDIA only.
        "gpus": "all" if draft.service.gpus is None and not draft.on_cpu and not host.is_amd else "",
        "accept_gpu": [name for name in HELD_BY if name in host.accepted],
        **flags,
    }
    lists = {key: values if isinstance(values, list) else [values] for key, values in given.items()}
    words = [f"--{key.replace('_', '-')}={value}" for key, values in lists.items() for value in values if value not in ("", None)]
    return ServiceUnit(
        unit=unit,
        environment_file=f"{settings.host_config_dir}/{name}.env",
        served=f"{settings.host_state_dir}/served/{name}.json",
        environment=dict(sorted(environment.items())),
        supervisor=program(settings.host_install_dir, "supervisor", role, *words),
        command=command,
        runtime=f"inferops-supervisor/{base}",
        failures=failures,
        writable=[draft.cache, failures, *([ray_folder] if ray_folder else [])],
        ray_folder=ray_folder,
        shared_memory=shared_memory,
        own_folders=own_folders(host, draft, [draft.cache, failures], ray_folder, shared_memory),
        has_secrets=has_secrets,
        what=str(given["what"]),
        folders=[failures, *([ray_folder] if ray_folder else [])],
        device_groups=list(host.facts.amd.device_groups) if host.facts is not None and host.is_amd and not draft.on_cpu else [],
    )


def own_folders(host: HostDraft, draft: ServiceDraft, folders: list[str], ray_folder: str = "", shared_memory: str = "") -> list[str]:
    """The command with which a unit changes the owner of its directories to its account, as root (module_utils/own_folders.py)."""
    settings = host.settings
    name = account_name(settings.model_service_account_prefix, str(draft.service.name))
    return [
        *program(settings.host_install_dir, "own_folders", f"--user={name}", f"--group={name}"),
        # The account that all services shared in earlier versions.
        f"--former={settings.host_user}",
        *(f"--folder={folder}" for folder in folders),
        *([f"--ray={ray_folder}"] if ray_folder else []),
        *([f"--memory={shared_memory.rpartition('/')[2]}"] if shared_memory else []),
    ]
