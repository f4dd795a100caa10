# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The answer to a prompt: a pure function of the prompt and the number of ranks."""

from __future__ import annotations

import hashlib

WORDS = "sea fjord stone light boat rain wood road house wind snow salt north cloud iron bread".split()


def advance(state: bytes, rank: int) -> bytes:
    """What a rank makes of the state of a request."""
    return hashlib.sha256(b"%d:" % rank + state).digest()


def text(state: bytes, tokens: int) -> str:
    """The last rank's state as text of some tokens, a word each."""
    return "".join(" " + WORDS[hashlib.sha256(b"%d:" % number + state).digest()[0] % len(WORDS)] for number in range(tokens))


def expected(prompt: str, ranks: int, tokens: int) -> str:
    """The right answer of a service with this many ranks."""
    state = prompt.encode()
    for rank in range(ranks):
        state = advance(state, rank)
    return text(state, tokens)
