# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a new release's own interpreter: import what serving imports, build the command-line parser, compile the rest, print versions as JSON."""

from __future__ import annotations

import compileall
import importlib.metadata
import json
import os
import sys

from .. import _vllm_parser


def main() -> None:
    import torch
    import vllm

    _vllm_parser.use_cpu_where_no_gpu_is()
    _vllm_parser.build()
    # Engines run as accounts that may not write here, and would compile what is missing at every start of each of their processes.
    # A file that cannot be compiled is one that nothing imports, or its import says so.
    compileall.compile_dir(os.path.dirname(vllm.__file__), quiet=2, workers=0)
    # vLLM may print to standard output while it is imported; the last line is the answer.
    json.dump({
        "version": importlib.metadata.version("vllm"),
        "module": vllm.__version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        # What torch was built for; whether the host has one is not asked here.
        "accelerator": torch.version.cuda or torch.version.hip or getattr(torch.version, "xpu", None),
        "python": sys.version.split()[0],
    }, sys.stdout)
    print()


if __name__ == "__main__":
    main()
