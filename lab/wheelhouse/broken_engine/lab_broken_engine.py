# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plugin that breaks vLLM's engine. vLLM loads it in each of its processes, and swallows what a plugin itself raises."""

import sys


def register() -> None:
    """Break the engine where there is one: in its own process the module has been imported, in the parser's it has not."""
    core = sys.modules.get("vllm.v1.engine.core")
    if core is not None:
        core.EngineCore._initialize_kv_caches = fail


def fail(*_arguments: object) -> None:
    raise RuntimeError("the engine of this release is broken, as the lab wanted it")
