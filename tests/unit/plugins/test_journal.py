# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a program died of, found in its journal."""

from __future__ import annotations

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils._journal import cause

ENGINE = "(EngineCore pid=71) ERROR 11-21 14:08:51 [core.py:1183] "
SERVER = "(APIServer pid=7) "
# As vLLM 0.32.0 wrote it, shortened: the engine's process tells twice, then the server tells that the engine is gone.
NO_BLOCKS = [
    "(APIServer pid=7) INFO 11-21 14:08:20 [utils.py:233] non-default args: {}",
    ENGINE + "EngineCore failed to start.",
    ENGINE + "Traceback (most recent call last):",
    ENGINE + '  File "/opt/x/core.py", line 1157, in run_engine_core',
    ENGINE + "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`.",
    "(EngineCore pid=71) Process EngineCore:",
    "(EngineCore pid=71) Traceback (most recent call last):",
    "(EngineCore pid=71) ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`.",
    SERVER + "Traceback (most recent call last):",
    SERVER + "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}",
    "vllm-a.service: Main process exited, code=exited, status=1/FAILURE",
    "vllm-a.service: Failed with result 'exit-code'.",
]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ""),
        (["Starting vllm-a.service", "vllm-a.service: Failed with result 'exit-code'."], ""),
        (NO_BLOCKS, "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`."),
        # Nothing else is known: better than nothing.
        (NO_BLOCKS[-4:], "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"),
        # One that was caught and logged comes before the one that ended it.
        (["ImportError: no flashinfer", "torch.OutOfMemoryError: CUDA out of memory.", "vllm-a.service: x"], "torch.OutOfMemoryError: CUDA out of memory."),
        (["usage: vllm serve", "vllm serve: error: unrecognized arguments: --nope"], "vllm serve: error: unrecognized arguments: --nope"),
        (["Usage: transformers serve", "Error: No such option '--nope'."], "Error: No such option '--nope'."),
        (["  KeyError: inside a frame", "INFO: all errors are handled"], ""),
        # A rank of another host, as Ray passes it on.
        (
            ["(RayWorkerProc pid=71, ip=10.0.0.2) (Worker_PP1 pid=71) ERROR 11-21 17:59:44 [multiproc_executor.py:1063] RuntimeError: no memory"],
            "RuntimeError: no memory",
        ),
        # A host of a service over several on which nothing is wrong.
        (["starting: the engine", "failed: the engine: the engine ended with status 0"], "the engine: the engine ended with status 0"),
        (["failed: the engine ended with status 1", "ValueError: no"], "ValueError: no"),
        (["ValueError: " + "x" * 2000], "ValueError: " + "x" * 488),
    ],
)
def test_cause(lines: list[str], expected: str) -> None:
    assert cause(lines) == expected
