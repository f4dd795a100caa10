# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file with a service's LoRA adapters, which the running engine follows (lora_adapters.py), and whether the engine has done so."""

from __future__ import annotations

import json
import os
import re
import stat
import time
import typing as t

from . import _masking, _openai_api, _systemd, _writing, lora_adapters

# Lines of a service's journal in which the reason of a refusal is looked for.
JOURNAL_LINES = 2000
# Seconds between two checks of the model list.
INTERVAL = 0.5
# Seconds of one answer of the engine, which may be loading an adapter.
ANSWER_SECONDS = 30.0
# A line of the program in the engine, from its beginning: a line of the log may have a client's text after it. vLLM puts the process before each line of some
# versions, coloured on a terminal.
_LINE = re.compile(rf"(?:\x1b\[[0-9;]*m)*(?:\([A-Za-z]\w* pid=\d+\)(?:\x1b\[[0-9;]*m)* )?{re.escape(lora_adapters.PREFIX)}(.*)")
_VARIABLE = re.compile(rf'^Environment="?{lora_adapters.VARIABLE}=([^"\n]+)"?$', re.MULTILINE)
# Modes of the file and its folder.
FILE_MODE, FOLDER_MODE = 0o644, 0o755


class NotLoaded(Exception):
    """The engine does not serve its adapters; the text names them, with the reason where the journal has it."""


def text_of(paths: t.Mapping[str, str]) -> str:
    """Return the text of the file."""
    return json.dumps({"adapters": {name: {"path": paths[name]} for name in sorted(paths)}}, indent=1) + "\n"


def write(path: str, paths: t.Mapping[str, str], check_mode: bool) -> dict[str, dict[str, str]]:
    """Write the file if its adapters differ; return C(before) and C(after), the directories by name, both empty if nothing changes. Raises OSError.

    The folder and the file belong to root: a service may read them, and change neither. With equal adapters another owner or mode is a change too.
    """
    before = read(path)
    wrong = access(path)
    if before == dict(paths) and not wrong:
        return {}
    if not check_mode:
        put(path, text_of(paths))
    if before == dict(paths):
        return {"before": wrong, "after": dict.fromkeys(wrong, "root's, readable by all")}
    return {"before": before or {}, "after": dict(paths)}


def put(path: str, text: str) -> None:
    """Replace the file, in a folder that root alone may write. Raises OSError."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    if folder in access(path):
        os.chown(folder, os.geteuid(), os.getegid())
        os.chmod(folder, FOLDER_MODE)
    _writing.replace(path, text, FILE_MODE, durable=True)


def access(path: str) -> dict[str, str]:
    """Return the owner and mode of the file and of its folder, by path, where they are not root's; those that do not exist are left out."""
    found = {}
    for place, look, is_kind, mode in ((os.path.dirname(path), os.stat, stat.S_ISDIR, FOLDER_MODE), (path, os.lstat, stat.S_ISREG, FILE_MODE)):
        try:
            about = look(place)
        except FileNotFoundError:
            continue
        if not is_kind(about.st_mode) or stat.S_IMODE(about.st_mode) != mode or (about.st_uid, about.st_gid) != (os.geteuid(), os.getegid()):
            found[place] = f"{stat.filemode(about.st_mode)} {about.st_uid}:{about.st_gid}"
    return found


def file_of(unit_text: str) -> str:
    """Return the file that a unit's engine follows; empty when it follows none."""
    found = _VARIABLE.search(unit_text)
    return found[1] if found else ""


def read(path: str) -> t.Union[dict[str, str], None]:
    """Return the adapters of a file, the directories by name; None when there is none, or nothing that the engine can read."""
    try:
        return lora_adapters.read(path)
    except (OSError, ValueError):
        return None


def listed(api: _openai_api.Api) -> dict[str, str]:
    """Return the adapters that the engine lists, their directories by name. Raises ApiError."""
    answer = api.call("/v1/models")
    items = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(items, list):
        raise _openai_api.ApiError("/v1/models did not answer with a list of models", 200)
    # Only an adapter has a parent, its base model.
    return {str(item["id"]): str(item.get("root")) for item in items if isinstance(item, dict) and item.get("id") and item.get("parent")}


def wait(service: t.Mapping[str, t.Any], timeout: float, clock: t.Callable[[], float] = time.monotonic, pause: t.Callable[[float], None] = time.sleep) -> None:
    """Wait until the engine lists the adapters of the file, and no others but the static ones.

    If it does not at once, the file is touched: the engine then tries again what it has refused before, and only reasons from then on count.

    :param service: an item of the module C(service_adapters)
    :param clock: seconds of a steady clock
    :raises NotLoaded: when it does not within C(timeout) seconds, or at once when the journal has the reason
    """
    api = _openai_api.Api(service["url"], service["api_key"] or "", ANSWER_SECONDS, _openai_api.Trust(verify=False))
    wanted: dict[str, str] = service["paths"]
    deadline = clock() + timeout
    since = 0.0
    while True:
        try:
            found = listed(api)
            missing = [name for name in wanted if found.get(name) != wanted[name]]
            left = [name for name in found if name not in wanted and name not in service["static"]]
            if not missing and not left:
                return
            error = ""
        except _openai_api.ApiError as bad:
            missing, left, error = [*wanted], [], str(bad)
        if not since:
            since = time.time()
            os.utime(service["file"])
        reasons = refusals(service["unit"], {name: wanted[name] for name in missing}, since)
        if clock() >= deadline or (missing and len(reasons) == len(missing)):
            raise NotLoaded(_masking.masked(explain(service, missing, left, reasons, error), service["api_key"]))
        pause(INTERVAL)


def refusals(unit: str, paths: t.Mapping[str, str], since: float) -> dict[str, str]:
    """Return why the engine has refused adapters since a time, by name, from the unit's journal."""
    found: dict[str, str] = {}
    if not paths:
        return found
    for line in _systemd.journal(unit, "", JOURNAL_LINES, since):
        said = _LINE.fullmatch(line)
        for name, path in paths.items() if said else ():
            text, head = t.cast("re.Match[str]", said)[1], lora_adapters.refusal_of(name, path)
            if text.startswith(head):
                found[name] = text[len(head):]
            elif text == lora_adapters.acceptance_of(name, path):
                found.pop(name, None)
    return found


def explain(service: t.Mapping[str, t.Any], missing: t.Sequence[str], left: t.Sequence[str], reasons: t.Mapping[str, str], error: str) -> str:
    """Return the error about a service's adapters."""
    lines = [f"  {name} ({service['paths'][name]}): {reasons.get(name) or error or 'not listed'}" for name in missing]
    lines += [f"  {name}: still listed" for name in left]
    fix = f"journalctl -u {service['unit']} has more. The service goes on with its other adapters"
    return "\n".join([f"Service {service['name']} does not serve its adapters as the inventory has them:", *lines, f"  {fix}."])
