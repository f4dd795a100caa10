# Copyright: inferops.gpu contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep the compiled form of what Python imports from zip files, on machines that tests run against.

Ansible sends each task's module to its host as a zip file of sources, and the host's Python compiles them again for each task, which takes a third of
a task's processor time there. Here the same source is compiled once. It is mounted into a machine, with a .pth file that imports it (lab_keeps_bytecode).
"""

from __future__ import annotations

import _imp
import marshal
import os
import sys
import zipimport

# Written by root alone, so that root never runs what another account compiled.
FOLDER = f"/var/cache/lab-bytecode/{sys.implementation.cache_tag}"

_compile_source = zipimport._compile_source


def _compiled(pathname, source):
    """As zipimport's own function: the code of a file's source, in bytes."""
    # importlib's hash for bytecode that is checked by its source.
    path = f"{FOLDER}/{_imp.source_hash(0, source).hex()}-{len(source)}"
    try:
        with open(path, "rb") as file:
            code = marshal.loads(file.read())
    except (OSError, EOFError, ValueError, TypeError):
        code = _compile_source(pathname, source)
        if os.geteuid() == 0:
            _keep(path, code)
    # Each zip file has a path of its own, which tracebacks show.
    _imp._fix_co_filename(code, pathname)
    return code


def _keep(path, code):
    """Write it under its name at once, whoever else does the same. A machine without room does without."""
    part = f"{path}.{os.getpid()}"
    try:
        os.makedirs(FOLDER, exist_ok=True)
        with open(part, "wb") as file:
            file.write(marshal.dumps(code))
        os.rename(part, path)
    except OSError:
        pass


zipimport._compile_source = _compiled
