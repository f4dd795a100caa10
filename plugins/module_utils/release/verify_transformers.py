# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run with a new release's own interpreter: import the modules that serving needs, build the command-line parser, print versions as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import sys

from .. import _transformers_parser


def main() -> None:
    import torch
    import transformers
    import uvicorn  # noqa: F401  what the extra "serving" is for
    from transformers.cli.serving import server  # noqa: F401
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available():
        sys.exit("Transformers lacks packages that its server needs: the extra `serving` is not complete")
    _transformers_parser.build()
    json.dump({
        "version": importlib.metadata.version("transformers"),
        "module": transformers.__version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        # The accelerator that torch was built for, whether or not the host has one.
        "accelerator": torch.version.cuda or torch.version.hip or getattr(torch.version, "xpu", None),
        "python": sys.version.split()[0],
    }, sys.stdout)
    print()


if __name__ == "__main__":
    main()
