# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Models that make numbers of text: embeddings and scores of pairs."""

from __future__ import annotations

import json
from pathlib import Path

from .shapes import HEADS, HIDDEN, configuration
from .spec import SHARD_BYTES, Spec
from .tokens import END_OF_TEXT, VOCABULARY, corpus, save_qwen


def make_embedding(spec: Spec, folder: Path) -> None:
    """A decoder without its head whose last token is the vector, as the files of sentence-transformers say."""
    import torch
    from transformers import AutoModel

    tokenizer = save_qwen(spec, folder, template=False, end=True)
    torch.manual_seed(spec.seed)
    config = configuration(spec)
    config.bos_token_id = config.eos_token_id = config.pad_token_id = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    # The files of the real repository have no head.
    config.tie_word_embeddings = True
    AutoModel.from_config(config, dtype=torch.bfloat16).save_pretrained(folder, max_shard_size=SHARD_BYTES)
    # AutoModel names its own class.
    path = folder / "config.json"
    _write(path, {**json.loads(path.read_text(encoding="utf-8")), "architectures": [spec.architecture]})
    kind = "sentence_transformers.models"
    _write(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": f"{kind}.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{kind}.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{kind}.Normalize"},
        ],
    )
    (folder / "1_Pooling").mkdir()
    modes = dict.fromkeys(("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens"), False)
    pooling = {f"pooling_mode_{name}": on for name, on in {**modes, "lasttoken": True}.items()}
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": HIDDEN, **pooling, "include_prompt": True})


def make_reranker(spec: Spec, folder: Path) -> None:
    """A decoder whose answer "yes" or "no" is the score: each is one token, as vLLM makes a classifier of their rows of the head."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = save_qwen(spec, folder, whole=("yes", "no"))
    torch.manual_seed(spec.seed)
    config = configuration(spec)
    config.bos_token_id = config.eos_token_id = config.pad_token_id = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    config.tie_word_embeddings = True
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder, max_shard_size=SHARD_BYTES)


def make_cross_encoder(spec: Spec, folder: Path) -> None:
    """An encoder that reads both texts of a pair and gives one number."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    ids = _save_xlm_roberta_tokenizer(spec, folder)
    torch.manual_seed(spec.seed)
    config = XLMRobertaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=HEADS,
        # The first two positions are those of no text.
        max_position_embeddings=spec.context + 2,
        type_vocab_size=1,
        initializer_range=0.1,
        layer_norm_eps=1e-5,
        num_labels=1,
        bos_token_id=ids["<s>"],
        pad_token_id=ids["<pad>"],
        eos_token_id=ids["</s>"],
    )
    model = XLMRobertaForSequenceClassification(config)
    with torch.no_grad():
        # Random attention is nearly the same everywhere: sharper, it lets the texts decide the score.
        for name, weight in model.named_parameters():
            weight *= {"query.weight": 4, "value.weight": 3}.get(".".join(name.split(".")[-2:]), 1)
    # The real repository has 32 bits too.
    model.to(torch.float32).save_pretrained(folder, max_shard_size=SHARD_BYTES)


def _save_xlm_roberta_tokenizer(spec: Spec, folder: Path) -> dict[str, int]:
    """Train and save a tokenizer of pieces of words, as SentencePiece makes them; returns the numbers of its tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=VOCABULARY, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(corpus().splitlines(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[(text, tokenizer.token_to_id(text)) for text in ("<s>", "</s>")]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=spec.context,
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(folder)
    return dict(fast.get_vocab())


def _write(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
