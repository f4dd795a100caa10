# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A worker that runs stages of a pipeline without compiling them first, which takes most of an engine's start here."""

from __future__ import annotations

from vllm.config import CompilationMode
from vllm.v1.worker.cpu_worker import CPUWorker


class LabCpuWorker(CPUWorker):
    """vLLM's worker for CPUs. Where nothing is compiled that makes no trial run, and in the trial run a later stage makes room for what comes to it
    from the one before: without it the first request kills the engine (vLLM 0.32)."""

    def determine_available_memory(self) -> int:
        if self.compilation_config.mode == CompilationMode.NONE:
            self.model_runner.profile_run()
        return super().determine_available_memory()
