# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run with a new release's own interpreter: import the modules that serving needs, build the command-line parser, compile the rest, print versions as JSON."""

from __future__ import annotations

import compileall
import importlib.metadata
import importlib.util
import json
import sys
import typing as t

from .. import _vllm_parser


# vLLM, and Ray with the packages that its processes import: Ray starts about ten Python processes on each node for each start of a service.
PACKAGES = ("vllm", "ray", "google.protobuf", "grpc", "click", "jsonschema", "yaml", "msgpack", "aiohttp")


def compile_packages(names: t.Iterable[str]) -> None:
    """Write the bytecode of those packages that the release has.

    Engines run as accounts that may not write here: each of their processes would compile missing bytecode at every start.
    """
    for name in names:
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            # The package around it is missing.
            continue
        for folder in (found.submodule_search_locations or ()) if found is not None else ():
            # Ignore files that cannot be compiled: nothing imports them, or their import fails with an error.
            compileall.compile_dir(folder, quiet=2, workers=0)


def main() -> None:
    import torch
    import vllm

    _vllm_parser.use_cpu_where_no_gpu_is()
    _vllm_parser.build()
    compile_packages(PACKAGES)
    # vLLM may print to standard output during its import; the last line is the result.
    json.dump({
        "version": importlib.metadata.version("vllm"),
        "module": vllm.__version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        # The accelerator that torch was built for, whether or not the host has one.
        "accelerator": torch.version.cuda or torch.version.hip or getattr(torch.version, "xpu", None),
        "python": sys.version.split()[0],
    }, sys.stdout)
    print()


if __name__ == "__main__":
    main()
