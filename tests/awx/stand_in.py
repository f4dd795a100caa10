# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small stand-in for AWX's API, as far as the modules of C(awx.awx) use it: objects by name, associations, surveys, approvals, secrets not shown.

It checks nothing that AWX checks about values; what it is for is order, names and what a second run finds.
"""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "stand-in-token"
HIDDEN = "$encrypted$"
_PATH = re.compile(r"/api/v2/(?P<kind>\w+)/(?:(?P<id>\d+)/(?:(?P<part>\w+)/)?)?")
# What can be launched, and so is found under unified_job_templates.
LAUNCHABLE = ("job_templates", "workflow_job_templates", "projects", "inventory_sources")
Answer = tuple[int, Any]


class Api:
    """The objects by kind and id, and every change that was asked for."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        self.associations: dict[tuple[str, int, str], list[int]] = defaultdict(list)
        self.surveys: dict[tuple[str, int], Any] = {}
        self.changes: list[tuple[str, str]] = []
        self._next = 1
        self._lock = threading.Lock()
        # What AWX brings along.
        galaxy = self._add("credential_types", {"name": "Ansible Galaxy/Automation Hub API Token", "inputs": {"fields": []}})
        self._add("credential_types", {"name": "Machine", "inputs": {"fields": [{"id": "ssh_key_data", "secret": True}]}})
        self._add("credentials", {"name": "Ansible Galaxy", "credential_type": galaxy["id"], "organization": None, "inputs": {}})
        self.changes.clear()

    def named(self, kind: str) -> dict[str, dict[str, Any]]:
        """Objects of a kind by name or identifier."""
        return {found.get("name") or found["identifier"]: found for found in self.objects[kind].values()}

    def linked(self, kind: str, number: int, part: str) -> list[str]:
        """Names or identifiers of what an object is associated with."""
        target = "workflow_job_template_nodes" if part.endswith("_nodes") else "credentials"
        return [self.objects[target][one].get("name") or self.objects[target][one]["identifier"] for one in self.associations[kind, number, part]]

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """Status and document for a request."""
        with self._lock:
            match = _PATH.fullmatch(path)
            if match is None:
                return 404, {"detail": path}
            kind, number, part = match["kind"], int(match["id"] or 0), match["part"]
            if method != "GET":
                self.changes.append((method, path))
            if number and number not in self.objects[kind] and kind != "project_updates":
                return 404, {"detail": path}
            if part:
                return self._part(method, kind, number, part, body)
            if number:
                return self._one(method, kind, number, body)
            if method == "POST":
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
        return made

    def _one(self, method: str, kind: str, number: int, body: Any) -> Answer:
        if kind == "project_updates":
            return 200, {"id": number, "status": "successful"}
        if method == "DELETE":
            del self.objects[kind][number]
            return 204, None
        if method == "PATCH":
            inputs = self.objects[kind][number].get("inputs", {})
            self.objects[kind][number] |= {key: value for key, value in body.items() if value is not None}
            if kind == "credentials" and "inputs" in body:
                kept = {key: inputs[key] if value == HIDDEN else value for key, value in body["inputs"].items()}
                self.objects[kind][number]["inputs"] = kept
        return 200, self._shown(kind, self.objects[kind][number])

    def _part(self, method: str, kind: str, number: int, part: str, body: Any) -> Answer:
        if part == "survey_spec":
            if method == "POST":
                self.surveys[kind, number] = body
            return 200, self.surveys.get((kind, number), {})
        if part == "create_approval_template":
            made = self._add("workflow_approval_templates", body)
            self.objects[kind][number]["unified_job_template"] = made["id"]
            return 201, self._shown("workflow_approval_templates", made)
        if kind == "workflow_approval_templates":
            # An approval has no nodes of its own.
            return 404, {"detail": part}
        linked = self.associations[kind, number, part]
        if method == "POST":
            linked.remove(body["id"]) if body.get("disassociate") else linked.append(body["id"])
            return 204, None
        return 200, self._list([{"id": one} for one in linked])

    def _shown(self, kind: str, found: dict[str, Any]) -> dict[str, Any]:
        url = f"/api/v2/{kind}/{found['id']}/"
        shown = {**found, "url": url, "type": kind.removesuffix("s"), "summary_fields": {}, "related": {"survey_spec": f"{url}survey_spec/"}}
        if kind == "projects":
            shown |= {"scm_revision": "", "summary_fields": {"current_update": {"id": found["id"]}}}
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
            status, document = api.answer(self.command, parts.path, dict(parse_qsl(parts.query)), body) if known else (401, {})
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
