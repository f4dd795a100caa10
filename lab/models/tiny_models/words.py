# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Weights with which a model says words: random weights alone would answer with bytes that are no text, or end at once.

The output rows of everything but plain words are zero (a greedy choice is then always a word), "." leads to the end of the turn, and a model that thinks
is given its short thought word for word. Which words come depends on the whole prompt.
"""

from __future__ import annotations

from typing import Any

from .shapes import HIDDEN
from .tokens import END_OF_TURN, THOUGHT, words_of

# Found by looking at what the models say.
ATTENTION_SHARPNESS = 2.0
WORD_ROW = 0.5
WORD_LENGTH = 20.0
SCRIPT_ROW = 0.6


def script_of(thinking: str, end: str = END_OF_TURN) -> list[tuple[str, str]]:
    """Which token must follow which, whatever stands before: the thought, and the end of a turn."""
    steps = [(".", end)]
    if thinking == "never":
        return steps
    # The last token of the prompt is a line break: after "<think>" when the template opens the thought, after
    # "assistant" when the model does.
    opening = ["\n"] if thinking == "always" else ["\n", "<think>"]
    words = [*opening, *THOUGHT]
    return steps + list(zip(words, words[1:]))


def shape_words(model: Any, tokenizer: Any, script: list[tuple[str, str]]) -> None:
    """Let the model choose plain words only, end its turn after a while, and follow the script where there is one.

    The last norm gives every token's state the length sqrt(HIDDEN) = 8. A head row along a token's own direction thus
    scores 8 x its length after that token, and about 1 x its length after any other.
    """
    import torch
    from torch.nn.functional import normalize

    def token(text: str) -> int:
        ids = tokenizer.encode(text, add_special_tokens=False)
        if len(ids) != 1:
            raise SystemExit(f"{text!r} is not one token of the tiny tokenizer: the corpus must contain it")
        return ids[0]

    embedding = model.get_input_embeddings().weight
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("q_norm.weight", "k_norm.weight")):
                weight.fill_(ATTENTION_SHARPNESS)
        words = torch.tensor(words_of(tokenizer))
        words = words[torch.randperm(len(words))]
        directions = normalize(torch.randn(len(head), HIDDEN), dim=1)
        end = normalize(torch.randn(HIDDEN), dim=0)
        # Words follow each other in a seeded circle; how loud a word is against the layers decides how often the
        # prompt leads away from the circle.
        head.zero_()
        head[words] = WORD_ROW * (directions[words.roll(1)] + directions[torch.randperm(len(head))[: len(words)]])
        embedding[words] = WORD_LENGTH * directions[words]
        # Every tenth word leans towards the full stop.
        embedding[words[::10]] += 1.5 * WORD_LENGTH * end
        head[token(".")] = WORD_ROW * end
        # The token that an answer begins after is quiet: there the prompt alone decides.
        for opening in ("\n", "\n\n"):
            embedding[token(opening)] = normalize(embedding[token(opening)], dim=0)
        for before, after in script:
            embedding[token(before)] = 1000 * directions[token(before)]
            head[token(after)] += SCRIPT_ROW * directions[token(before)]
