# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The progress of a start, and errors of a GPU, in lines as engines print them."""

from __future__ import annotations

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import device_errors, progress

LINES = {
    "(EngineCore_DP0 pid=71) INFO 11-26 10:00:00 [gpu_model_runner.py:2338] Starting to load model Qwen/Qwen3-8B...": "loading weights",
    "(EngineCore_DP0 pid=71) Loading safetensors checkpoint shards:   0% Completed | 0/5 [00:00<?, ?it/s]": "loading weights, 0 %",
    "Loading safetensors checkpoint shards: 100% Completed | 5/5 [00:02<00:00,  2.1it/s]": "loading weights, 100 %",
    "Loading pt checkpoint shards:  50% Completed | 1/2 [00:02<00:00,  2.1it/s]": "loading weights, 50 %",
    "INFO 11-26 10:00:00 [default_loader.py:268] Loading weights took 2.66 seconds": "weights are loaded",
    "INFO 11-26 10:00:00 [backends.py:559] Dynamo bytecode transform time: 5.2 s": "compiling",
    "INFO 11-26 10:00:00 [kv_cache_utils.py:864] GPU KV cache size: 1,000 tokens": "preparing the KV cache",
    "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  10%|#| 1/10\rCapturing CUDA graphs (decode, FULL):  70%|#| 7/10": "capturing CUDA graphs, 70 %",
    "INFO:     Application startup complete.": "waiting for the first answer",
    "INFO:     127.0.0.1:5 - \"GET /health HTTP/1.1\" 200 OK": None,
    "": None,
    "x" * 100000 + "Application startup complete.": "waiting for the first answer",
}


@pytest.mark.parametrize(("line", "text"), LINES.items(), ids=range(len(LINES)))
def test_a_line(line: str, text: str | None) -> None:
    found = progress.read(line)
    assert (found.text if found is not None else None) == text


ERRORS = [
    "RuntimeError: CUDA error: an illegal memory access was encountered",
    "torch.AcceleratorError: CUDA error: unspecified launch failure",
    "(EngineCore_DP0 pid=9) ERROR 11-26 [core.py:1] CUDA error: uncorrectable ECC error encountered",
    "RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
    "gpu1:77:80 [3] enqueue.cc:1204 NCCL WARN Cuda failure 700 'an illegal memory access was encountered'",
    "Unable to determine the device handle for GPU0000:17:00.0: GPU is lost.  Reboot the system to recover this GPU",
]
NO_ERRORS = [
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    "RuntimeError: CUDA error: out of memory",
    "INFO 11-26 [cuda.py:1] Using CUDA error checking",
    "ValueError: This model's maximum context length is 32768 tokens.",
]


@pytest.mark.parametrize("line", ERRORS)
def test_an_error_of_a_gpu(line: str) -> None:
    assert device_errors.read(line)


@pytest.mark.parametrize("line", NO_ERRORS)
def test_what_is_none(line: str) -> None:
    assert not device_errors.read(line)
