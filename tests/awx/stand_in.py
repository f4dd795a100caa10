# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small stand-in for AWX's API, as far as the modules of C(awx.awx) use it: objects by name, associations, surveys, approvals, secrets not shown.

What it refuses are the rules of AWX 24.6.1 in C(rules.py).
"""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import rules

TOKEN = "stand-in-token"
HIDDEN = "$encrypted$"
_PATH = re.compile(r"/api/v2/(?P<kind>\w+)/(?:(?P<id>\d+)/(?:(?P<part>\w+)/)?)?")
# What can be launched, and so is found under unified_job_templates.
LAUNCHABLE = ("job_templates", "workflow_job_templates", "projects", "inventory_sources")
NODES = "workflow_job_template_nodes"
Answer = tuple[int, Any]


class Gone(Exception):
    """Of a test that has AWX die."""


class Api:
    """The objects by kind and id, and every change that was asked for."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        self.associations: dict[tuple[str, int, str], list[int]] = defaultdict(list)
        self.surveys: dict[tuple[str, int], Any] = {}
        self.changes: list[tuple[str, str]] = []
        # What the updates of a project find, and whether they end well.
        self.playbooks: list[str] = []
        self.updates_fail = False
        # Called before each change with its method and path; what it raises ends the request as a dead AWX would.
        self.before_change: Callable[[str, str], None] = lambda _method, _path: None
        self._next = 1
        self._lock = threading.Lock()
        # What AWX brings along.
        galaxy = self._add("credential_types", {"name": "Ansible Galaxy/Automation Hub API Token", "kind": "galaxy", "inputs": {"fields": []}})
        fields = [{"id": "username"}, {"id": "password", "secret": True}, {"id": "ssh_key_data", "secret": True, "format": "ssh_private_key"}]
        self._add("credential_types", {"name": "Machine", "kind": "ssh", "inputs": {"fields": fields}})
        self._add("credentials", {"name": "Ansible Galaxy", "credential_type": galaxy["id"], "organization": None, "inputs": {}})
        self.changes.clear()

    def named(self, kind: str) -> dict[str, dict[str, Any]]:
        """Objects of a kind by name or identifier."""
        return {found.get("name") or found["identifier"]: found for found in self.objects[kind].values()}

    def linked(self, kind: str, number: int, part: str) -> list[str]:
        """Names or identifiers of what an object is associated with."""
        target = "workflow_job_template_nodes" if part.endswith("_nodes") else "credentials"
        return [self.objects[target][one].get("name") or self.objects[target][one]["identifier"] for one in self.associations[kind, number, part]]

    def would_run(self, workflow: str) -> list[str]:
        """The nodes that a launch starts with, and all that the success of what runs before them leads to (scheduler/dag_workflow.py)."""
        [number] = [one["id"] for one in self.objects["workflow_job_templates"].values() if one["name"] == workflow] or [0]
        nodes = {one["id"]: one for one in self.objects[NODES].values() if one["workflow_job_template"] == number}
        after = {key[1]: found for key, found in self.associations.items() if key[0] == NODES and key[2] == "success_nodes"}
        here = [one for one in nodes if one not in {child for found in after.values() for child in found}]
        run = []
        while here:
            one = here.pop(0)
            # A node without anything to run fails, and what would come after its success does not come.
            if nodes[one].get("unified_job_template"):
                run.append(nodes[one]["identifier"])
                here += after.get(one, [])
        return run

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """Status and document for a request."""
        with self._lock:
            match = _PATH.fullmatch(path)
            if match is None:
                return 404, {"detail": path}
            kind, number, part = match["kind"], int(match["id"] or 0), match["part"]
            if method != "GET":
                self.before_change(method, path)
                self.changes.append((method, path))
            if number and number not in self.objects[kind] and kind != "project_updates":
                return 404, {"detail": path}
            if part:
                return self._part(method, kind, number, part, body)
            if number:
                return self._one(method, kind, number, body)
            if method == "POST":
                if errors := self._refused(kind, body, None):
                    return 400, errors
                return 201, self._shown(kind, self._add(kind, body))
            return 200, self._list([self._shown(*found) for found in self._found(kind) if self._matches(found[1], query)])

    def _found(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for one in LAUNCHABLE if kind == "unified_job_templates" else (kind,):
            yield from ((one, found) for found in self.objects[one].values())

    @staticmethod
    def _matches(found: dict[str, Any], query: dict[str, str]) -> bool:
        return all(str(found.get(key)) == value for key, value in query.items())

    @staticmethod
    def _list(found: list[dict[str, Any]]) -> dict[str, Any]:
        return {"count": len(found), "next": None, "results": found}

    def _add(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        made = {"kind": "", "host_filter": None} if kind == "inventories" else {}
        made |= {key: value for key, value in body.items() if value is not None} | {"id": self._next}
        self._next += 1
        self.objects[kind][made["id"]] = made
        if kind == "projects":
            made |= {"playbook_files": [], "status": "ok"}
            if made.get("scm_type"):
                self._update(made)
        return made

    def _update(self, project: dict[str, Any]) -> None:
        """An update of a project, which here is over at once."""
        project["status"] = "failed" if self.updates_fail else "successful"
        if not self.updates_fail:
            project |= {"playbook_files": list(self.playbooks), "scm_revision": "a" * 40}

    def _template(self, number: int | None) -> tuple[str, dict[str, Any] | None]:
        """Kind and object of what can be launched under an id."""
        return next(((kind, self.objects[kind][number]) for kind in (*LAUNCHABLE, "workflow_approval_templates") if number in self.objects[kind]), ("", None))

    def _refused(self, kind: str, body: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
        """What AWX would say against a new object, or a change of one."""
        if errors := rules.general(kind, body, before, self.objects):
            return errors
        after = {**(before or {}), **body}
        if kind == "credential_types":
            used = before is not None and any(one["credential_type"] == before["id"] for one in self.objects["credentials"].values())
            return rules.credential_type(body, before, used)
        if kind == "credentials":
            return rules.credential(body, before, self.objects["credential_types"][after["credential_type"]])
        if kind == "projects":
            return rules.project(body, before)
        if kind == "execution_environments":
            return rules.execution_environment(body, before)
        if kind == "inventory_sources":
            return rules.inventory_source(body, before, self.objects["projects"])
        if kind == "job_templates":
            return rules.job_template(body, before, self.objects["projects"])
        if kind in (NODES, "schedules"):
            return self._launch_refused(kind, body, before, after)
        return {}

    def _launch_refused(self, kind: str, body: dict[str, Any], before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
        number = after.get("unified_job_template")
        target, template = self._template(number)
        if number and template is None:
            return {"unified_job_template": [f'Invalid pk "{number}" - object does not exist.']}
        if kind == "schedules" and (errors := rules.schedule(body, target, template)):
            return errors
        survey = self.surveys.get((target, number or 0)) if template and template.get("survey_enabled") else None
        known = None if template is None else {**template, "kind": target}
        # What a survey must be answered may come from the workflow, or at its launch.
        return rules.launch_configuration(body, before, known, survey, before is None, kind == "schedules")

    def _one(self, method: str, kind: str, number: int, body: Any) -> Answer:
        if kind == "project_updates":
            status = self.objects["projects"][number]["status"]
            shown = {"id": number, "status": status, "failed": status == "failed", "finished": "2026-01-01T00:00:00Z", "scm_revision": "a" * 40}
            return 200, shown | {"event_processing_finished": True}
        if method == "DELETE":
            del self.objects[kind][number]
            return 204, None
        if method == "PATCH":
            if errors := self._refused(kind, {key: value for key, value in body.items() if value is not None}, self.objects[kind][number]):
                return 400, errors
            inputs = self.objects[kind][number].get("inputs", {})
            self.objects[kind][number] |= {key: value for key, value in body.items() if value is not None}
            if kind == "credentials" and "inputs" in body:
                kept = {key: inputs[key] if value == HIDDEN else value for key, value in body["inputs"].items()}
                self.objects[kind][number]["inputs"] = kept
        return 200, self._shown(kind, self.objects[kind][number])

    def _part(self, method: str, kind: str, number: int, part: str, body: Any) -> Answer:
        if part == "survey_spec":
            if method == "POST":
                if errors := rules.survey(body):
                    return 400, errors
                self.surveys[kind, number] = body
            return 200, self.surveys.get((kind, number), {})
        if part == "update":
            self._update(self.objects[kind][number])
            return 202, {"id": number, "status": "pending", "url": f"/api/v2/project_updates/{number}/", "type": "project_update"}
        if part == "create_approval_template":
            if not body.get("name"):
                return 400, {"name": ["This field is required."]}
            made = self._add("workflow_approval_templates", body)
            self.objects[kind][number]["unified_job_template"] = made["id"]
            return 201, self._shown("workflow_approval_templates", made)
        if kind == "workflow_approval_templates":
            # An approval has no nodes of its own.
            return 404, {"detail": part}
        linked = self.associations[kind, number, part]
        if method == "POST" and not body.get("disassociate") and (errors := self._link_refused(kind, number, part, body["id"])):
            return 400, errors
        if method == "POST":
            linked.remove(body["id"]) if body.get("disassociate") else linked.append(body["id"])
            return 204, None
        return 200, self._list([{"id": one} for one in linked])

    def _link_refused(self, kind: str, number: int, part: str, other: int) -> dict[str, Any]:
        """What AWX would say against an association."""
        if kind == NODES and part.endswith("_nodes"):
            return rules.link(self.objects[NODES][number], self.objects[NODES][other], part, self.associations)
        if part in ("credentials", "galaxy_credentials"):
            there = self.associations[kind, number, part]
            types = {one: self.objects["credential_types"][self.objects["credentials"][one]["credential_type"]] for one in (other, *there)}
            if part == "credentials":
                return rules.attached_credential(types[other], [types[one] for one in there])
            return {} if types[other]["kind"] == "galaxy" else {"msg": f"Credential must be a Galaxy credential, not {types[other]['name']}."}
        return {}

    def _shown(self, kind: str, found: dict[str, Any]) -> dict[str, Any]:
        url = f"/api/v2/{kind}/{found['id']}/"
        shown = {**found, "url": url, "type": kind.removesuffix("s"), "summary_fields": {}, "related": {"survey_spec": f"{url}survey_spec/"}}
        if kind == "projects":
            shown |= {"summary_fields": {"current_update": {"id": found["id"]}}}
            shown.setdefault("scm_revision", "")
            shown.setdefault("scm_type", "")
            shown["related"]["update"] = f"{url}update/"
        if kind == "credentials":
            secret = {field["id"] for field in self.objects["credential_types"][found["credential_type"]]["inputs"]["fields"] if field.get("secret")}
            shown["inputs"] = {key: HIDDEN if key in secret and value else value for key, value in found["inputs"].items()}
        if kind == "workflow_job_template_nodes" and found.get("unified_job_template") in self.objects["workflow_approval_templates"]:
            shown["related"]["unified_job_template"] = f"/api/v2/workflow_approval_templates/{found['unified_job_template']}/"
        return shown


@contextmanager
def serving(api: Api) -> Iterator[str]:
    """Serves on a free port of this machine; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            try:
                status, document = api.answer(self.command, parts.path, dict(parse_qsl(parts.query)), body) if known else (401, {})
            except Gone:
                self.close_connection = True
                return
            content = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("X-API-Product-Name", "AWX")
            self.send_header("X-API-Product-Version", "24.6.1")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer

        def log_message(self, *_arguments: Any) -> None:
            """Nothing: it would go between the tests' own lines."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
