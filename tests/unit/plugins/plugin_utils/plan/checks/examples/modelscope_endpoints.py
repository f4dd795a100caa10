# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ModelScope servers as endpoints of weights."""

from __future__ import annotations

from example_builders import example, one
from plan_builders import service

COMMIT = "e156cb4efae43fbee1a1ab073f946a1377e6b969"
MODELSCOPE = "modelscope+https://modelscope.cn"
HUB = "https://huggingface.co"

EXAMPLES = [
    example(
        "revision-is-one-of-modelscope", one(service(), weights_endpoints=[MODELSCOPE]), "set the service's revision to a commit of ModelScope",
        one(service(revision=COMMIT), weights_endpoints=[MODELSCOPE]),
    ),
    example(
        "revision-is-one-of-modelscope", one(service(), weights_endpoints=[MODELSCOPE]), "add an endpoint of the Hub",
        one(service(), weights_endpoints=[MODELSCOPE, HUB]),
    ),
    example(
        "token-has-one-recipient", one(service(), weights_endpoints=[HUB, MODELSCOPE], weights_token_endpoints=[HUB, MODELSCOPE]), "keep the endpoints of one",
        one(service(), weights_endpoints=[HUB, MODELSCOPE], weights_token_endpoints=[HUB]),
    ),
]
