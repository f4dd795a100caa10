# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What AWX 24.6.1 refuses of what C(awx_setup.yml) may send, in this project's own words.

Each function is about one rule or one kind of object and names where AWX has it. Errors are as AWX's: a message by field, empty when it is accepted.
C(make test) has no AWX; the same playbook was run against the API of a real one, and what that refused stands here.
"""

from __future__ import annotations

import re
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

Errors = dict[str, Any]
Object = dict[str, Any]

# Fields that name another object by its id, and what kind that is of.
FOREIGN_KEYS = {
    "organization": "organizations", "credential_type": "credential_types", "execution_environment": "execution_environments",
    "default_environment": "execution_environments", "project": "projects", "source_project": "projects", "inventory": "inventories",
    "workflow_job_template": "workflow_job_templates", "credential": "credentials",
}
REQUIRED = {
    "organizations": ("name",),
    "credential_types": ("name", "kind"),
    "credentials": ("name", "credential_type"),
    "execution_environments": ("name", "image"),
    "projects": ("name",),
    "inventories": ("name", "organization"),
    "inventory_sources": ("name", "inventory", "source"),
    "job_templates": ("name",),
    "workflow_job_templates": ("name",),
    "workflow_job_template_nodes": ("workflow_job_template",),
    "schedules": ("name", "rrule", "unified_job_template"),
}
# Two of a kind may not agree in all of these (unique_together of the models).
UNIQUE = {
    "organizations": ("name",), "credential_types": ("name", "kind"), "credentials": ("name", "organization", "credential_type"),
    "execution_environments": ("name",), "projects": ("name", "organization"), "inventories": ("name", "organization"),
    "inventory_sources": ("name", "inventory"), "job_templates": ("name", "organization"), "workflow_job_templates": ("name", "organization"),
    "workflow_job_template_nodes": ("identifier", "workflow_job_template"), "schedules": ("name", "unified_job_template"),
}
# What a launch can be asked to decide, by the field of the template that allows it (get_ask_mapping of the models).
PROMPTS = {
    "inventory": "ask_inventory_on_launch", "limit": "ask_limit_on_launch", "job_type": "ask_job_type_on_launch", "scm_branch": "ask_scm_branch_on_launch",
    "job_tags": "ask_tags_on_launch", "skip_tags": "ask_skip_tags_on_launch", "diff_mode": "ask_diff_mode_on_launch",
    "verbosity": "ask_verbosity_on_launch", "execution_environment": "ask_execution_environment_on_launch", "forks": "ask_forks_on_launch",
    "job_slice_count": "ask_job_slice_count_on_launch", "timeout": "ask_timeout_on_launch",
}
QUESTION_TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,), "textarea": (str,), "password": (str,), "multiplechoice": (str,), "multiselect": (str, list), "integer": (int,), "float": (float, int),
}
SOURCES = {
    "file", "scm", "ec2", "gce", "azure_rm", "vmware", "satellite6", "openstack", "rhv", "controller", "insights", "terraform", "openshift_virtualization",
}
_IDENTIFIER = re.compile(r"[a-zA-Z_]+[a-zA-Z0-9_]*")
_KEY = re.compile(r"-----BEGIN ([A-Z ]+ )?PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+-----END ([A-Z ]+ )?PRIVATE KEY-----\n?")


def general(kind: str, body: Object, before: Object | None, objects: dict[str, dict[int, Object]]) -> Errors:
    """What every serializer asks for: required fields, ids of objects that are there, names that nobody else has."""
    after = {**(before or {}), **body}
    errors: Errors = {field: ["This field is required."] for field in REQUIRED.get(kind, ()) if before is None and field not in body}
    errors |= {field: ["This field may not be blank."] for field in REQUIRED.get(kind, ()) if field in body and body[field] == ""}
    for field, target in FOREIGN_KEYS.items():
        if body.get(field) and body[field] not in objects[target]:
            errors[field] = [f'Invalid pk "{body[field]}" - object does not exist.']
    keys = UNIQUE.get(kind, ())
    same = [one for one in objects[kind].values() if one.get("id") != after.get("id") and all(one.get(key) == after.get(key) for key in keys)]
    if keys and same and all(key in after for key in keys[:1]):
        errors["__all__"] = [f"{kind} with this {', '.join(keys)} already exists."]
    return errors


def credential_type(body: Object, before: Object | None, in_use: bool) -> Errors:
    """CredentialTypeSerializer.validate; CredentialTypeInputField and CredentialTypeInjectorField."""
    after = {**(before or {}), **body}
    if body.get("kind", "cloud") not in ("cloud", "net"):
        return {"kind": [f"Must be 'cloud' or 'net', not {body['kind']}"]}
    if before and in_use and "inputs" in body and body["inputs"] != before["inputs"]:
        return {"detail": "Modifications to inputs are not allowed for credential types that are in use"}
    fields = after.get("inputs", {}).get("fields", [])
    for field in fields:
        if field.get("ask_at_runtime"):
            return {"inputs": ["'ask_at_runtime' is not supported for custom credentials."]}
        if not {"id", "label"} <= set(field) or not _IDENTIFIER.fullmatch(field["id"]) or field["id"] in ("tower", "awx"):
            return {"inputs": [f"{field} is not a field"]}
        if set(field) - {"id", "type", "label", "help_text", "multiline", "secret", "default", "choices", "format", "ask_at_runtime"}:
            return {"inputs": [f"Additional properties are not allowed: {field}"]}
    injectors = after.get("injectors", {})
    if set(injectors) - {"file", "env", "extra_vars"}:
        return {"injectors": [f"Additional properties are not allowed: {sorted(injectors)}"]}
    engine = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    known = {field["id"]: "EXAMPLE" for field in fields}
    for part, wanted in injectors.items():
        for name, template in wanted.items():
            if part == "env" and name.startswith("ANSIBLE_"):
                return {"injectors": [f"Environment variable {name} may affect Ansible configuration so its use is not allowed in credentials."]}
            try:
                engine.from_string(template).render(known)
            except TemplateError as error:
                return {"injectors": [f"{name} uses an undefined field ({error})"]}
    return {}


def credential(body: Object, before: Object | None, kind: Object) -> Errors:
    """CredentialSerializerCreate.validate; CredentialInputField: only what the type defines, and a key that is one."""
    owners = [field for field in ("user", "team", "organization") if body.get(field)]
    if before is None and len(owners) != 1:
        return {"detail": "Missing 'user', 'team', or 'organization'." if not owners else f"Only one of them should be provided, received {owners} fields."}
    defined = {field["id"]: field for field in kind["inputs"]["fields"]}
    for name, value in body.get("inputs", {}).items():
        if name not in defined:
            return {"inputs": [f"Additional properties are not allowed ('{name}' was unexpected)"]}
        if not isinstance(value, (str, bool)):
            return {"inputs": {name: [f"{value!r} is not of type 'string'"]}}
        if defined[name].get("format") == "ssh_private_key" and value and value != "$encrypted$" and not _KEY.fullmatch(value):
            return {"inputs": {name: ["Invalid certificate or key"]}}
    return {}


def project(body: Object, before: Object | None) -> Errors:
    """ProjectOptionsSerializer, ProjectSerializer, ProjectOptions.clean_scm_url."""
    after = {**(before or {}), **body}
    scm = after.get("scm_type", "")
    if scm not in ("", "git", "svn", "insights", "archive"):
        return {"scm_type": [f'"{scm}" is not a valid choice.']}
    if scm and not after.get("scm_url"):
        return {"scm_url": ["SCM URL is required."]}
    if body.get("scm_branch") and scm == "archive":
        return {"scm_branch": ["SCM branch cannot be used with archive projects."]}
    for field in ("scm_refspec", "scm_track_submodules"):
        if body.get(field) and scm != "git":
            return {field: [f"SCM {field.removeprefix('scm_')} can only be used with git projects."]}
    for field in ("scm_update_on_launch", "scm_delete_on_update", "scm_track_submodules", "scm_clean"):
        if not scm and after.get(field):
            return {field: ["Update options must be set to false for manual projects."]}
    return {}


def execution_environment(body: Object, before: Object | None) -> Errors:
    """ExecutionEnvironmentSerializer.validate and the model's choices."""
    if before and body.get("organization") and body["organization"] != before.get("organization"):
        return {"organization": "Cannot change the organization of an execution environment"}
    if body.get("pull", "") not in ("", "always", "missing", "never"):
        return {"pull": [f'"{body["pull"]}" is not a valid choice.']}
    return {}


def inventory_source(body: Object, before: Object | None, projects: dict[int, Object]) -> Errors:
    """InventorySourceSerializer.validate and validate_source_project."""
    after = {**(before or {}), **body}
    if after.get("source") not in SOURCES:
        return {"source": [f'"{after.get("source")}" is not a valid choice.']}
    if after["source"] == "scm":
        found = projects.get(after.get("source_project") or 0)
        if found is None:
            return {"source_project": "Project required for scm type sources."}
        if not found.get("scm_type"):
            return {"source_project": ["Cannot use manual project for SCM-based inventory."]}
        if after.get("scm_branch") and not found.get("allow_override"):
            return {"scm_branch": "Project does not allow overriding branch."}
    elif redundant := [field for field in ("source_project", "source_path", "scm_branch") if body.get(field)]:
        return {"detail": f"Cannot set {' '.join(redundant)} if not SCM type."}
    return {}


def job_template(body: Object, before: Object | None, projects: dict[int, Object]) -> Errors:
    """JobOptionsSerializer.validate, JobTemplateSerializer.validate."""
    after = {**(before or {}), **body}
    found = projects.get(after.get("project") or 0)
    if found is None:
        return {"project": ["This field is required."]}
    if after.get("job_type", "run") not in ("run", "check"):
        return {"job_type": [f'"{after["job_type"]}" is not a valid choice.']}
    if not after.get("playbook"):
        return {"playbook": ["Must select playbook for project."]}
    # What the last update of the project that went well has found there.
    if not found.get("allow_override") and after["playbook"] not in found["playbook_files"]:
        return {"playbook": ["Playbook not found for project."]}
    for field in ("scm_branch", "ask_scm_branch_on_launch"):
        if after.get(field) and not found.get("allow_override"):
            return {field: ["Project does not allow overriding branch."]}
    if not after.get("inventory") and not after.get("ask_inventory_on_launch"):
        return {"inventory": ["You must either set a default value or ask to prompt on launch."]}
    return {}


def launch_configuration(body: Object, before: Object | None, template: Object | None, survey: Any, creating: bool, required_survey: bool) -> Errors:
    """LaunchConfigurationBaseSerializer.validate, for nodes and schedules.

    Its fields have a default, None. So a POST always counts as one that says something about prompts, and the template is asked whether it could
    start with them; a PATCH only when it names one of these fields.
    """
    if template is None or not (creating or set(body) & {*PROMPTS, "extra_data"}):
        return {}
    after = {**(before or {}), **body}
    errors: Errors = {}
    for field, allowed in PROMPTS.items():
        value = after.get(field)
        if value is not None and value != template.get(field) and not template.get(allowed):
            errors[field] = ["Field is not configured to prompt on launch."]
    if template["kind"] == "job_templates" and not template.get("inventory") and not (template.get("ask_inventory_on_launch") and after.get("inventory")):
        errors["resources_needed_to_start"] = ["Job Template inventory is missing or undefined."]
    problems = answers(survey, after.get("extra_data") or {}, required_survey)
    if not template.get("ask_variables_on_launch"):
        asked = {question["variable"] for question in (survey or {}).get("spec", [])} if template.get("survey_enabled") else set()
        if extra := sorted(set(after.get("extra_data") or {}) - asked):
            problems.append(f"Variables {', '.join(extra)} are not allowed on launch.")
    return errors | ({"extra_data": problems} if problems else {})


def schedule(body: Object, kind: str, template: Object | None) -> Errors:
    """SchedulePreviewSerializer.validate_rrule, ScheduleSerializer.validate_unified_job_template."""
    if template is not None and kind == "projects" and not template.get("scm_type"):
        return {"unified_job_template": ["Manual Project cannot have a schedule set."]}
    if "rrule" not in body:
        return {}
    rule, errors = body["rrule"], []
    starts = re.findall(r"DTSTART(?:;[^:]+)?:[0-9]+T[0-9]+Z?", rule)
    rules = re.findall(r"RULE:\S*", rule)
    if len(starts) != 1:
        errors.append("Valid DTSTART required in rrule." if not starts else "Multiple DTSTART is not supported.")
    if re.search(r"DTSTART:[0-9]+T[0-9]+ ", rule):
        errors.append("DTSTART cannot be a naive datetime.")
    if not rules:
        errors.append("One or more rule required in rrule.")
    errors += [f"{word} not allowed in rrule." for word in ("EXDATE", "RDATE") if f"{word}:" in rule.upper()]
    for one in rules:
        if "INTERVAL" not in one.upper():
            errors.append(f"INTERVAL required in rrule: {one}")
        if "SECONDLY" in one.upper():
            errors.append(f"SECONDLY is not supported: {one}")
        if re.search(r"BYDAY[:=][0-9]+[a-zA-Z]{2}", one):
            errors.append(f"BYDAY with numeric prefix not supported: {one}")
        if "COUNT" in one and "UNTIL" in one:
            errors.append(f"RRULE may not contain both COUNT and UNTIL: {one}")
        if (count := re.search(r"COUNT=([0-9]+)", one)) and int(count[1]) > 999:
            errors.append(f"COUNT > 999 is unsupported: {one}")
    return {"rrule": errors} if errors else {}


def survey(document: Any) -> Errors:
    """JobTemplateSurveySpec._validate_spec_data: the first thing that is wrong."""
    for field, kind in (("name", str), ("description", str), ("spec", list)):
        if not isinstance(document.get(field), kind):
            return {"error": f"Field '{field}' is missing from survey spec, or of another type."}
    if not document["spec"]:
        return {"error": "'spec' doesn't contain any items."}
    seen: set[str] = set()
    for position, question in enumerate(document["spec"]):
        problem = _question(question)
        if problem is None and question["variable"] in seen:
            problem = f"'variable' '{question['variable']}' duplicated"
        if problem:
            return {"error": f"{problem} in survey question {position}."}
        seen.add(question["variable"])
    return {}


def _question(question: Any) -> str | None:
    if not isinstance(question, dict):
        return "not a json object"
    for field in ("type", "question_name", "variable", "required"):
        if not isinstance(question.get(field), bool if field == "required" else str):
            return f"'{field}' missing or of another type"
    kind = question["type"]
    if kind not in QUESTION_TYPES:
        return f"'{kind}' is not one of the allowed question types"
    default = question.get("default", "")
    if default != "" and not isinstance(default, QUESTION_TYPES[kind]):
        return f"Default value {default} expected to be {kind}"
    if [key for key in ("min", "max") if question.get(key) is not None and not isinstance(question[key], int)]:
        return "The min or max limit expected to be integer"
    if kind in ("multiselect", "multiplechoice"):
        if "choices" not in question:
            return f"type {kind} must specify choices"
        chosen = default.splitlines() if isinstance(default, str) else default
        if kind == "multiplechoice" and len(chosen) > 1:
            return "Multiple Choice (Single Select) can only have one default value"
        if [one for one in chosen if one not in question["choices"]]:
            return "Default choice must be answered from the choices listed"
    if isinstance(default, str) and default.startswith("$encrypted$") and kind != "password":
        return "$encrypted$ is a reserved keyword for password question defaults"
    return None


def answers(document: Any, given: Object, required: bool = True) -> list[str]:
    """SurveyJobTemplateMixin._survey_element_validation: what is wrong with the answers to a survey."""
    problems = []
    for question in (document or {}).get("spec", []):
        name, kind = question["variable"], question["type"]
        if name not in given:
            if required and question["required"] and question.get("default") in (None, ""):
                problems.append(f"'{name}' value missing")
            continue
        value, least, most = given[name], question.get("min"), question.get("max")
        if kind in ("text", "textarea", "password"):
            size = len(value) if isinstance(value, str) else None
        elif kind == "integer":
            # Neither an empty text nor null: what is not answered must not be sent. Zero is below any bound of ours.
            size = value if type(value) is int else None
        elif kind == "float":
            size = value if type(value) in (int, float) else None
        elif kind == "multiselect":
            size = None if not isinstance(value, list) or [one for one in value if one not in question["choices"]] else 0
            least = most = None
        else:
            size = 0 if value in question["choices"] else None
            least = most = None
        if size is None:
            problems.append(f"Value {value} for '{name}' is not one for {kind}.")
        elif (least is not None and size < least) or (most is not None and size > most):
            problems.append(f"'{name}' value {value} is too small or too large ({least} to {most}).")
    return problems


def link(parent: Object, child: Object, part: str, associations: dict[tuple[str, int, str], list[int]]) -> Errors:
    """WorkflowJobTemplateNodeChildrenBaseList.is_valid_relation: one way between two nodes of one workflow, and no circle."""
    parts = ("success_nodes", "failure_nodes", "always_nodes")
    kind = "workflow_job_template_nodes"
    if parent["workflow_job_template"] != child["workflow_job_template"]:
        return {"detail": "Cannot associate nodes of different workflows."}
    if any(child["id"] in associations[kind, parent["id"], other] for other in parts if other != part):
        return {"Error": "Relationship not allowed."}
    seen, here = set(), [child["id"]]
    while here:
        one = here.pop()
        if one == parent["id"]:
            return {"Error": "Cycle detected."}
        if one not in seen:
            seen.add(one)
            here += [other for name in parts for other in associations[kind, one, name]]
    return {}


def attached_credential(kind: Object, others: list[Object]) -> Errors:
    """JobTemplateCredentialsList.is_valid_relation."""
    if kind["id"] in [other["id"] for other in others]:
        return {"error": f"Cannot assign multiple {kind['name']} credentials."}
    if kind["kind"] not in ("ssh", "vault", "cloud", "net", "kubernetes"):
        return {"error": f"Cannot assign a Credential of kind `{kind['kind']}`."}
    return {}
