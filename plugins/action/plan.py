# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of C(inferops.gpu.plan): reads the inventory and the collection's files, and calls C(plugin_utils/plan)."""

from __future__ import annotations

import contextlib
import json
import re

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Iterator, Mapping

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.yaml import yaml_load
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible.vars.plugins import get_vars_from_inventory_sources, get_vars_from_path
from ansible_collections.inferops.gpu.plugins.module_utils import _proxy
from ansible_collections.inferops.gpu.plugins.module_utils._masking import masked
from ansible_collections.inferops.gpu.plugins.plugin_utils import controller_files, role_options
from ansible_collections.inferops.gpu.plugins.plugin_utils.model_lookup import Lookup, cache_folder
from ansible_collections.inferops.gpu.plugins.plugin_utils.native import native
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import HIDDEN, PlanError, PlanWarning, is_secret_name, render_errors, shown
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import catalogue, credential_key, definitions, near_names, overrides, renamed, secrets
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput, Run
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.services import ABSENT, SECRETS, UNREADABLE
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.settings import MissingDefault, proxies
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Answers, Question
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.output import table
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import VARIABLES, Plan, questions, resolve
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm import tables

try:
    from ansible.parsing.vault import VaultedValue
except ImportError:
    VaultedValue = None

# Types of single values that were encrypted, of the versions of ansible-core.
_ENCRYPTED = ("EncryptedString", "AnsibleVaultEncryptedUnicode")

_FILES = role_options.ROLES / "plan" / "files"
# Variables that the plan itself validates, beyond their type.
_READ = frozenset((*VARIABLES, *overrides.VARIABLES, credential_key.VARIABLE))
_FACTS = "__plan_facts"
_PATHS = "put the file there, or write its absolute path"
_UNDEFINED = re.compile(r"'[^']{1,80}' is undefined|has no attribute '[^']{1,80}'")


def _load(path: Path) -> Any:
    """A data file of the collection, which has no templates and no secrets: Ansible's own loader, which tags each value, is many times slower."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else yaml_load(text)


class ActionModule(ActionBase):
    """Computes the plan of the whole inventory. Changes nothing and connects to no host."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        variables = task_vars or {}
        reached = variables.get("ansible_play_hosts")
        plan = self._plan(variables, Run(None if reached is None else frozenset(reached)))
        chosen = variables.get("ansible_play_hosts_all") or list(plan.hosts)
        hosts = [plan.hosts[name] for name in chosen if name in plan.hosts]
        result.update(
            changed=False,
            hosts=plan.hosts,
            summary=table.summary(hosts),
            errors=[error.to_dict() for error in plan.errors],
            warnings=plan.warnings,
            accepted=[asdict(one) for one in plan.accepted],
        )
        if plan.errors:
            result.update(failed=True, msg=render_errors(plan.errors))
        return result

    def _plan(self, variables: Mapping[str, Any], run: Run) -> Plan:
        options = self._read_options()
        defaults = role_options.defaults(options)
        families = [_load(path) for path in sorted((_FILES / "catalogue").glob("*.yml"))]
        read = frozenset(VARIABLES).difference(secrets.VARIABLES)
        templated_defaults = {name: native(self._templar.template(value)) for name, value in defaults.items() if name in read}
        hosts = overrides.apply_overrides([credential_key.apply_key(host) for host in self._read_hosts(variables["hostvars"], defaults, options)], run)
        try:
            known = catalogue.built_in(families)
            answers = self._look_up(hosts, templated_defaults, known, variables["hostvars"], defaults)
            return resolve(hosts, templated_defaults, known, tables.build(self._read_tables()), answers, run)
        except (MissingDefault, ValueError) as error:
            raise AnsibleActionFail(f"inferops.gpu is broken, please report it: {masked(error)}") from None

    def _read_tables(self) -> dict[str, Any]:
        """The tables of the plan, by the keys of tables.FILES."""
        return {key: _load(_FILES / name) for key, name in tables.FILES.items()}

    def _read_options(self) -> dict[str, dict[str, Any]]:
        """The declared variables of all roles of the collection."""
        # Nothing changes what this returns, and copying it (unsafe=False) takes longer than reading it.
        return role_options.read(lambda path: self._loader.load_from_file(path, unsafe=True, trusted_as_template=True))

    def _read_hosts(self, hostvars: Any, defaults: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]) -> Iterator[HostInput]:
        """Hosts of the inventory that define services. Each host's variables are read once and templated only as needed."""
        names = near_names.NearNames(defaults)
        groups = _Groups(hostvars)
        for name in hostvars:
            raw = hostvars.raw_get(name)
            if not definitions.names_in(raw):
                continue
            templar = self._templar_of(raw, defaults, hostvars)
            host = _read_host(name, raw, templar, options)
            looked = controller_files.folders({**raw, "playbook_dir": self._loader.get_basedir()})
            services, missing = controller_files.of_services(host.variables["model_services"], looked)
            errors = [PlanError(name, *where, shown(path, "files"), why, _PATHS) for *where, path, why in missing]
            host = replace(
                host,
                variables={**host.variables, "model_services": services},
                errors=(*host.errors, *renamed.errors(name, raw), *errors, *self._missing_files(name, raw, defaults, templar, looked)),
                warnings=(*groups.warnings(name, raw), *names.warnings(name, raw)),
            )
            for role in ("weights_mirror", "monitoring"):
                named = host.variables.get(f"{role}_host")
                if isinstance(named, str) and named in hostvars and not host.variables.get(f"{role}_address"):
                    other = hostvars.raw_get(named)
                    address = _text_of("ansible_host", other, {}, self._templar_of(other, defaults, hostvars)) or named
                    host = replace(host, variables={**host.variables, f"{role}_address": address})
            yield host

    def _missing_files(
        self, host: str, raw: Mapping[str, Any], defaults: Mapping[str, Any], templar: Templar, looked: tuple[str, ...]
    ) -> Iterator[PlanError]:
        """The errors of missing files on the controller that the host's variables name."""
        for name in controller_files.VARIABLES:
            try:
                value = native(templar.template(raw.get(name, defaults.get(name))))
            except AnsibleError as error:
                yield PlanError(host, "", name, shown(str(raw.get(name)), name), _reason(error, False), "define what it refers to, or correct the expression")
                continue
            for path in [value] if isinstance(value, str) else value if isinstance(value, list) else []:
                if isinstance(path, str) and path:
                    try:
                        controller_files.find(path, looked)
                    except controller_files.NotFound as error:
                        yield PlanError(host, "", name, shown(path, name), str(error), _PATHS)

    def _templar_of(self, raw: Mapping[str, Any], defaults: Mapping[str, Any], hostvars: Any) -> Templar:
        # A host's variables do not include the roles' defaults, but users refer to defaults in their variables.
        return self._templar.copy_with_new_env(available_variables={**defaults, **raw, "hostvars": hostvars})

    def _look_up(
        self, hosts: list[HostInput], templated_defaults: Mapping[str, Any], known: catalogue.Catalogue, hostvars: Any, defaults: Mapping[str, Any]
    ) -> Answers:
        """Metadata from endpoints about models without a catalogue entry. Token and cache directory are those of the first host with such a model."""
        asked: dict[Question, str] = {}
        cache, password = "", ""
        proxy: dict[str, Any] | None = None
        for host in hosts:
            for question in questions(host, templated_defaults, known):
                if question in asked:
                    continue
                raw = hostvars.raw_get(host.name)
                templar = self._templar_of(raw, defaults, hostvars)
                if not asked:
                    cache = _text_of("plan_cache_dir", raw, defaults, templar)
                    password = _text_of("host_proxy_password", raw, defaults, templar)
                    proxy = proxies.of_variables(host.variables, (place for other in hosts for place in _places(other)))
                asked[question] = _text_of("weights_token", raw, defaults, templar)
        if not asked:
            return {}
        with _proxy.used(proxy if self._uses_proxy(defaults, hostvars, hosts) else None, password):
            return Lookup(cache_folder(cache)).ask(asked)

    def _uses_proxy(self, defaults: Mapping[str, Any], hostvars: Any, hosts: list[HostInput]) -> bool:
        """Whether the controller uses the hosts' proxy for endpoints: plan_lookup_proxy of the first host."""
        raw = hostvars.raw_get(hosts[0].name)
        try:
            return bool(self._templar_of(raw, defaults, hostvars).template(raw.get("plan_lookup_proxy", defaults.get("plan_lookup_proxy", True))))
        except AnsibleError:
            return True


def _places(host: HostInput) -> tuple[str, ...]:
    address = host.variables.get("ansible_host")
    return (host.name, address) if isinstance(address, str) else (host.name,)


def _text_of(name: str, raw: Mapping[str, Any], defaults: Mapping[str, Any], templar: Templar) -> str:
    """A text variable; empty when it is not text, or cannot be templated (for example a vault without its password)."""
    try:
        value = templar.template(raw.get(name, defaults.get(name)))
    except AnsibleError:
        return ""
    return str(value) if isinstance(value, str) else ""


class _Groups:
    """The variables of each group of the inventory, before they are merged into those of hosts."""

    def __init__(self, hostvars: Any) -> None:
        self._inventory = getattr(hostvars, "_inventory", None)
        self._loader = getattr(hostvars, "_loader", None)
        self._known: dict[str, Mapping[str, Any]] = {}

    def warnings(self, host: str, raw: Mapping[str, Any]) -> Iterator[PlanWarning]:
        """Warnings of definitions that hide each other on a host."""
        found = self._inventory.get_host(host) if self._inventory is not None else None
        groups = found.get_groups() if found is not None else []
        # "all" is an ancestor of all groups.
        if len([group for group in groups if group.name != "all"]) < 2:
            return
        for variable in definitions.names_of(raw):
            defined = [
                definitions.Definition(group.name, _plain_raw(given[variable]), frozenset(one.name for one in group.get_ancestors()), group.priority)
                for group in groups for given in [self._variables(group)] if variable in given
            ]
            warning = definitions.hidden(host, variable, defined, _plain_raw(raw[variable])) if len(defined) > 1 else None
            if warning is not None:
                yield warning

    def _variables(self, group: Any) -> Mapping[str, Any]:
        """Variables of a group in the inventory's files and in group_vars next to the inventory and the playbook."""
        if group.name not in self._known:
            variables = dict(group.get_vars())
            with contextlib.suppress(AnsibleError, AttributeError):
                variables.update(get_vars_from_inventory_sources(self._loader, self._inventory._sources, [group], "task"))
                variables.update(get_vars_from_path(self._loader, self._loader.get_basedir(), [group], "task"))
            self._known[group.name] = variables
        return self._known[group.name]


def _plain_raw(value: Any) -> Any:
    """An untemplated value for comparisons, never shown: encrypted values stay unchanged."""
    return value if type(value).__name__ in _ENCRYPTED else native(value)


def _read_host(name: str, raw: Mapping[str, Any], templar: Templar, options: Mapping[str, Mapping[str, Any]]) -> HostInput:
    reader = _Reader(name, templar, raw)
    variables: dict[str, Any] = {}
    for key in _READ:
        if key in raw and key != definitions.NAME:
            value = reader.value("", key, key, raw[key])
            if value is not UNREADABLE:
                variables[key] = value
    # Variables that the plan does not read are validated by their declaration only.
    others = {key: reader.value("", key, key, raw[key]) for key in raw.keys() & options.keys() - variables.keys() - _READ}
    bad_types = role_options.errors(name, options, {key: value for key, value in others.items() if value is not UNREADABLE})
    found = raw.get(_FACTS)
    facts = found.get("host") if isinstance(found, Mapping) else None
    defined_in = definitions.names_of(raw)
    variables[definitions.NAME], bad = definitions.merged(name, {key: reader.services(key, raw[key]) for key in defined_in})
    return HostInput(name, variables, native(facts), (*reader.errors, *bad, *bad_types), defined_in=tuple(defined_in))


class _Reader:
    """Templates a host's variables. A failure is an error with its place."""

    def __init__(self, host: str, templar: Templar, raw: Mapping[str, Any]) -> None:
        self.errors: list[PlanError] = []
        self._raw = raw
        self._host = host
        self._templar = templar

    def value(self, service: str, key: str, name: str, raw: Any) -> Any:
        """One variable, or UNREADABLE."""
        try:
            return native(self._templar.template(raw))
        except AnsibleError as error:
            # A variable with any name may refer to a secret, and errors of filters quote their input.
            secret = is_secret_name(name) or name in SECRETS
            text = masked(error, *_secrets_among(self._raw))
            value = HIDDEN if secret or not isinstance(raw, str) else shown(str(raw), name)
            self.errors.append(PlanError(self._host, service, key, value, _reason(text, secret), "define what it refers to, or correct the expression"))
            return UNREADABLE

    def services(self, key: str, raw: Any) -> list[Any] | Any:
        """model_services, or a variable that adds to it. It is templated as a whole; if that fails, in parts, so that the error names the part.

        A service that cannot be templated is UNREADABLE.
        """
        before = len(self.errors)
        whole = self.value("", key, key, raw)
        if whole is not UNREADABLE:
            return whole
        if not isinstance(raw, (list, tuple)):
            return []
        del self.errors[before:]
        return [self._service(f"{key}[{position}]", item) for position, item in enumerate(raw)]

    def _service(self, label: str, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return self.value(label, "", "", raw)
        parts = {}
        if "name" in raw:
            parts["name"] = self.value(label, "name", "name", raw["name"])
            label = parts["name"] if isinstance(parts["name"], str) and parts["name"] else label
        if str(raw.get("state")) == ABSENT:
            return {**parts, "state": ABSENT} if parts.get("name") is not UNREADABLE else UNREADABLE
        parts.update({str(key): self.value(label, str(key), str(key), value) for key, value in raw.items() if key != "name"})
        return parts if not any(part is UNREADABLE for part in parts.values()) else UNREADABLE


def _secrets_among(variables: Any, name: str = "") -> Iterator[str]:
    """Secret texts: values of variables with names of secrets, and encrypted values."""
    if isinstance(variables, Mapping):
        for key, value in variables.items():
            yield from _secrets_among(value, str(key) if not is_secret_name(name) else name)
    elif isinstance(variables, (list, tuple)):
        for value in variables:
            yield from _secrets_among(value, name)
    elif type(variables).__name__ in _ENCRYPTED or (isinstance(variables, str) and (is_secret_name(name) or name in SECRETS or _is_vaulted(variables))):
        with contextlib.suppress(AnsibleError):
            yield str(variables)


def _is_vaulted(value: str) -> bool:
    """Whether text comes from a fully encrypted file, as far as this ansible-core version reports it."""
    return VaultedValue is not None and VaultedValue.is_tagged_on(value)


def _reason(error: str, secret: bool) -> str:
    """Why templating failed. The error text may quote values, so for a secret only the name of an undefined variable is used."""
    text = " ".join(error.split())
    if secret:
        found = _UNDEFINED.search(text)
        return found.group(0) if found else "the expression cannot be evaluated, or the value cannot be decrypted"
    return text
