# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a program died of, found in its journal."""

from __future__ import annotations

import time

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils._journal import cause, excerpt

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


TRACE = ["Traceback (most recent call last):", '  File "/opt/x/y.py", line 1, in __init__', "    self.z()", "           ^^^^^^^^"]
GONE = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"


@pytest.mark.parametrize(
    "name",
    [
        # vLLM: multiprocessing's names and its own (v1/engine/utils.py, v1/executor/multiproc_executor.py, v1/utils.py, dp_supervisor.py).
        "VllmWorker-0",
        "Worker",
        "Worker_TP0",
        "Worker_PP0_TP1",
        "Worker_DP0_PP1_PCP0_TP3_DCP0_EP7",
        "Worker_3",
        "EngineCore",
        "EngineCore_0",
        "EngineCore_DP0",
        "DPEngineCoreActor_DP1",
        "APIServer",
        "APIServer_0",
        "ApiServer_1",
        "DPCoordinator",
        "VLLM_DP_Coordinator",
        "DPSupervisor",
        "MainProcess",
        "SpawnProcess-1",
        "SpawnProcess-1:2",
        "ForkProcess-3",
        "Process-1",
        "VLLM::Worker_TP0",
        "Worker (TP0)",
    ],
)
@pytest.mark.parametrize(
    "form", ["({name} pid=71) ERROR 11-25 17:31:50 [multiproc_executor.py:953] ", "({name} pid=71) ", "\x1b[0;36m({name} pid=71)\x1b[0;0m "]
)
def test_whoever_speaks(name: str, form: str) -> None:
    """The worker's own words, and not those of who waited for it."""
    told = [form.format(name=name) + line for line in ("WorkerProc failed to start.", *TRACE, "IndexError: list index out of range")]
    after = [f"(EngineCore pid=7) ERROR 11-25 17:31:55 [core.py:1510] {line}" for line in (*TRACE, "Exception: WorkerProc initialization failed due to x.")]
    assert cause([*told, *after, *TRACE, GONE]) == "IndexError: list index out of range"


RAY = [
    "(RayWorkerWrapper pid=4321, ip=10.0.0.2) ",
    "(EngineCore_DP0 pid=7) (RayWorkerWrapper pid=4321) ",
    "\x1b[36m(RayWorkerProc pid=3, ip=fd00::2)\x1b[0m ",
    "(APIServer pid=7) (RayWorkerProc pid=71, ip=10.0.0.2) (Worker_PP1 pid=71) ERROR 11-21 17:59:44 [multiproc_executor.py:1063] ",
    "(pid=12) ",
    "(raylet, ip=10.0.0.2) ",
    "(raylet) ",
    "(autoscaler +2m3s) ",
    "[rank3]: ",
    "(Worker_TP3 pid=9) [rank3]: ",
    "ERROR:    ",
    "CRITICAL 2026-11-25 17:31:50,123 [x.py:1] ",
]


@pytest.mark.parametrize("prefix", RAY)
def test_ray_torch_and_uvicorn_speak_too(prefix: str) -> None:
    lines = [
        prefix + line for line in (*TRACE, "torch.AcceleratorError: CUDA error: no kernel image is available [repeated 3x across cluster] (Ray deduplicates)")
    ]
    assert cause(lines) == "torch.AcceleratorError: CUDA error: no kernel image is available"


W = "(Worker_TP1 pid=9) ERROR 11-25 17:31:50 [multiproc_executor.py:953] "
E = "(EngineCore pid=7) "
NCCL = "torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/NCCLUtils.cpp:94, unhandled system error, NCCL version 2.27.5"
PYDANTIC = [
    "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
    "  Value error, User-specified max_model_len (99999) is greater. [type=value_error, input_value=ArgsKwargs((), {'a': 'x'}), input_type=A]",
    "    For further information visit https://errors.pydantic.dev/2.12/v/value_error",
]
FORMS = [
    (
        "an exception of any name",
        [W + line for line in (*TRACE, "torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:")],
        "torch._dynamo.exc.BackendCompilerFailed",
    ),
    ("without a text", [W + line for line in (*TRACE, "AssertionError")], "AssertionError"),
    ("on the next line", [W + line for line in (*TRACE, "RuntimeError:", "no backend")], "RuntimeError: no backend"),
    (
        "out of memory",
        [W + line for line in (*TRACE, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")],
        "torch.OutOfMemoryError: CUDA out of memory.",
    ),
    (
        "one after another",
        [
            E + line
            for line in (
                *TRACE,
                "KeyError: 'qwen9'",
                "",
                "During handling of the above exception, another exception occurred:",
                "",
                *TRACE,
                "ValueError: no such model type",
            )
        ],
        "ValueError: no such model type",
    ),
    (
        "one from another",
        [
            E + line
            for line in (
                *TRACE,
                "ImportError: libcuda.so.1: cannot open",
                "",
                "The above exception was the direct cause of the following exception:",
                "",
                *TRACE,
                "RuntimeError: no CUDA",
            )
        ],
        "RuntimeError: no CUDA (caused by ImportError: libcuda.so.1: cannot open)",
    ),
    (
        "one from which another follows",
        [
            E + line
            for line in (
                *TRACE,
                "ValueError: bad",
                "",
                "The above exception was the direct cause of the following exception:",
                "",
                *TRACE,
                "RuntimeError: Engine core initialization failed.",
            )
        ],
        "ValueError: bad",
    ),
    (
        "a group",
        [
            "  + Exception Group Traceback (most recent call last):",
            "  |   File x",
            "  | ExceptionGroup: two (1 sub-exception)",
            "  +-+---------- 1 ----------",
            "    | ValueError: the first",
        ],
        "ValueError: the first",
    ),
    (
        "two that speak at once",
        [
            W + TRACE[0],
            E + TRACE[0],
            W + TRACE[1],
            E + TRACE[1],
            W + "zmq.error.Again: x",
            E + "RuntimeError: Worker failed with error 'x', please check the stack trace above for the root cause",
        ],
        "zmq.error.Again: x",
    ),
    (
        "pydantic",
        [E + line for line in PYDANTIC],
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig: User-specified max_model_len (99999)",
    ),
    (
        "NCCL",
        [
            W + line
            for line in (
                *TRACE,
                NCCL,
                "ncclSystemError: System call (e.g. socket, malloc) or external library call failed.",
                "Last error:",
                "socketStartConnect: failed",
            )
        ],
        "Last error: socketStartConnect: failed",
    ),
    (
        "the peers of one that died",
        [W + line for line in (*TRACE, "ValueError: no weights")]
        + [f"(Worker_TP2 pid=11) {line}" for line in (*TRACE, "RuntimeError: [../gloo/tcp/pair.cc:553] Connection closed by peer [10.0.0.1]:1")],
        "ValueError: no weights",
    ),
    (
        "nothing but lost peers",
        [f"(Worker_TP2 pid=11) {line}" for line in (*TRACE, "RuntimeError: Connection closed by peer [10.0.0.1]:1")],
        "RuntimeError: Connection closed by peer",
    ),
    (
        "torchrun",
        [
            "[rank0]: Traceback (most recent call last):",
            "[rank0]:   File x",
            "[rank0]: ValueError: first",
            *TRACE,
            "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ",
            "=====",
            "x FAILED",
        ],
        "ValueError: first",
    ),
    (
        "C++",
        [E + "terminate called after throwing an instance of 'c10::Error'", E + "  what():  CUDA error: an illegal memory access was encountered"],
        "terminate called after throwing an instance of 'c10::Error': CUDA error",
    ),
    (
        "Rust",
        ["thread 'tokio-runtime' (71) panicked at src/lib.rs:12:5:", "called `Option::unwrap()` on a `None` value"],
        "thread 'tokio-runtime' (71) panicked at src/lib.rs:12:5: called `Option",
    ),
    ("Rust in Python", [*TRACE, "pyo3_runtime.PanicException: index out of bounds"], "pyo3_runtime.PanicException: index out of bounds"),
    (
        "Python itself",
        [E + "Fatal Python error: Segmentation fault", "", E + "Current thread 0x00007f (most recent call first):", E + '  File "x"'],
        "Fatal Python error: Segmentation fault",
    ),
    ("a shell", ["/bin/sh: line 1:  4321 Killed                  vllm serve x"], "/bin/sh: line 1:  4321 Killed"),
    (
        "the OOM killer",
        ["vllm-a.service: A process of this unit has been killed by the OOM killer.", *TRACE, GONE],
        "a process of the unit was killed by SIGKILL (usually by the kernel",
    ),
    ("an engine that was killed", [*TRACE, GONE.replace("{}", "{'EngineCore_DP0': -9}")], "EngineCore_DP0 was killed by SIGKILL"),
    (
        "a worker that was killed",
        [W + "Worker proc VllmWorker-1 died unexpectedly (exit code: -11), shutting down executor.", *TRACE, GONE],
        "Worker proc VllmWorker-1 was killed by SIGSEGV",
    ),
    (
        "a worker of which that is all",
        [W + "RayWorkerProc rank=1 died unexpectedly, shutting down executor.", *TRACE, GONE],
        "RayWorkerProc rank=1 died unexpectedly",
    ),
    (
        "systemd",
        ["vllm-a.service: Main process exited, code=killed, status=9/KILL", "vllm-a.service: Failed with result 'signal'."],
        "the main process was killed by SIGKILL",
    ),
    ("a stop is no reason", ["vllm-a.service: Main process exited, code=killed, status=15/TERM"], ""),
    (
        "an error of a logger",
        ["(APIServer pid=7) ERROR 11-25 17:31:50 [x.py:1] No port is free", "(APIServer pid=7) INFO 11-25 17:31:50 [x.py:1] bye"],
        "No port is free",
    ),
    (
        "JSON",
        ['{"asctime": "x", "levelname": "ERROR", "message": "failed", "exc_info": "Traceback (most recent call last):\\n  File x\\nValueError: in JSON"}'],
        "ValueError: in JSON",
    ),
    ("what looks like JSON", ['{"message": ' + "[" * 100000], ""),
    ("carriage returns", [W + "Traceback (most recent call last):\r", W + "ValueError: x\r"], "ValueError: x"),
]


@pytest.mark.parametrize(("lines", "expected"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS])
def test_every_way_to_tell_of_an_error(lines: list[str], expected: str) -> None:
    found = cause(lines)
    assert (found.startswith(expected) or (expected.startswith("Last error") and expected in found)) if expected else found == "", found


def test_no_input_is_slow() -> None:
    """A journal of long lines that look like a beginning of everything."""
    lines = ["(" * 5000, "(a" * 4000 + " pid=1", "a." * 5000, "[rank1]:" * 3000, "ERROR 11-25 " * 1000, "| " * 5000, "(x pid=1) " * 2000] * 60
    began = time.process_time()
    cause(lines)
    assert time.process_time() - began < 5


ROUTES = [f'(APIServer pid=7) INFO 11-26 03:14:30 [launcher.py:46] Route: /v{number}, Methods: POST' for number in range(40)]
REQUEST = '(APIServer pid=7) INFO:     127.0.0.1:41230 - "GET /health HTTP/1.1" 200 OK'


def test_an_excerpt_begins_with_the_error() -> None:
    """Not with forty routes, and without a traceback's frames."""
    trouble = [W + TRACE[0], W + "IndexError: list index out of range"]
    lines = ["(APIServer pid=7) INFO 11-26 03:14:00 [x.py:1] starting", *ROUTES, REQUEST, *(W + line for line in TRACE), trouble[1], REQUEST, "systemd: stopped"]
    assert excerpt(lines, 20) == [*trouble, "systemd: stopped"]
    assert excerpt(lines, 1) == trouble[:1]


def test_an_excerpt_without_an_error_is_the_end() -> None:
    lines = ["a", "b", *ROUTES, "c", REQUEST]
    assert excerpt(lines, 2) == ["b", "c"] and excerpt([], 2) == []
