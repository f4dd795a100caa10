# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The KV cache of compressed attention (DeepSeek-V4): all kinds of layers draw from one pool of blocks of one size.

Sizes are bytes on one GPU; the cache is whole on every tensor parallel rank. A block holds the compressed keys of 256 tokens of all layers, or pages
of the other kinds: windows, and the states from which keys are compressed. Sources, vLLM 0.32.0: the specs in C(models/deepseek_v4/attention.py),
C(models/deepseek_v4/compressor.py) and C(v1/attention/backends/mla/sparse_swa.py); how they share blocks in C(v1/core/kv_cache_utils.py),
C(_get_packed_kv_cache_groups).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from .architecture import CompressedAttention

# Tokens of a block, and compression of the two kinds of layers.
BLOCK = 256
CSA, HCA = 4, 128

# Bytes of a compressed key: 448 elements in FP8, 64 of the rotary part in 16 bits, 8 scales; for a head of another size in proportion.
# The layout of FlashMLA, to which FP8 and auto lead; FlashInfer's (Blackwell) has 512.
_ROW = 584 / 512
# Pages are padded to a multiple of this.
_ALIGNMENT = 576
_BF16_ALIGNMENT = 512

# Tokens of a page of a window, and of the states of the two kinds of layers.
_WINDOW_PAGE = 64
_STATE_PAGE = {CSA: 4, HCA: 8}
# Elements of 4 bytes of a state: key and score; with CSA of this block and the one before.
_STATE_ELEMENTS = {CSA: 4, HCA: 2}
_FLOAT = 4
# An index key has one scale of 4 bytes for each 128 elements.
_INDEX_ROW = 1 + 4 / 128


@dataclass(frozen=True)
class Window:
    """Layers that keep a C(window) of tokens, in C(groups) that each take one block for C(page) tokens."""

    window: int
    page: int
    groups: int


@dataclass(frozen=True)
class Packed:
    """A pool of blocks of C(block_bytes), each for 256 tokens of the compressed keys, or for one page of a group of C(windows)."""

    block_bytes: float
    windows: tuple[Window, ...]

    def blocks_of(self, tokens: int, in_flight: int) -> int:
        """Blocks of one request of this number of tokens.

        :param in_flight: tokens of the batches that run, which stay in the cache of a window until they end
        """
        # One block more, since a window may begin within a page (v1/kv_cache_interface.py, SlidingWindowSpec).
        kept = [each.groups * (-(-min(tokens, each.window - 1 + in_flight) // each.page) + 1) for each in self.windows]
        return -(-tokens // BLOCK) + sum(kept)


def packed(model: CompressedAttention, layers: int, kv_dtype: str) -> Packed | None:
    """The pool of a model with this number of C(layers). None when vLLM has no such C(kv_dtype) for it."""
    if kv_dtype in ("auto", "fp8", "fp8_e4m3", "fp8_ds_mla"):
        row, alignment = model.head_dim * _ROW, _ALIGNMENT
    elif kv_dtype == "bfloat16":
        row, alignment = model.head_dim * 2.0, _BF16_ALIGNMENT
    else:
        return None
    csa = _page(BLOCK // CSA * row, alignment), _page(BLOCK // CSA * model.index_head_dim * _INDEX_ROW, alignment)
    hca = _page(BLOCK // HCA * row, alignment)
    window = _page(_WINDOW_PAGE * row, alignment)
    csa_state = sum(_page(_STATE_PAGE[CSA] * _STATE_ELEMENTS[CSA] * size * _FLOAT, alignment) for size in (model.head_dim, model.index_head_dim))
    hca_state = _page(_STATE_PAGE[HCA] * _STATE_ELEMENTS[HCA] * model.head_dim * _FLOAT, alignment)
    in_group = _layers_of_group([count for count in (layers, model.csa_layers, model.hca_layers) if count], model.csa_layers)
    kinds = (
        (layers, window, model.sliding_window, _WINDOW_PAGE),
        # Keys are compressed from this block of tokens and, with CSA, the one before.
        (model.csa_layers, csa_state, 2 * CSA, _STATE_PAGE[CSA]),
        (model.hca_layers, hca_state, HCA, _STATE_PAGE[HCA]),
    )
    windows, sizes = [], [model.csa_layers * sum(csa) + model.hca_layers * hca]
    for count, page, kept, tokens in kinds:
        if count:
            groups = -(-count // in_group)
            windows.append(Window(kept, tokens, groups))
            sizes.append(-(-count // groups) * page)
    return Packed(float(max(sizes)), tuple(windows))


def _page(size: float, alignment: int) -> int:
    """Bytes of a page of one layer."""
    return -(-int(size) // alignment) * alignment


def _layers_of_group(counts: Sequence[int], least: int) -> int:
    """Layers of a group, from the number of layers of each kind: the number with the least padding when every kind is rounded up to groups of it, the
    larger of equal ones, and not fewer than the layers with an index (vLLM's C(_approximate_gcd))."""
    sizes = range(max(1, least), max(counts) + 1)
    return min(sizes, key=lambda size: (sum(-count % size for count in counts), -size), default=max(1, least))
