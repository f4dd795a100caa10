# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request for each task, and what counts as an answer: chat, completion, embedding, score, rerank, classify, pooling, transcription.

Paths and formats are those of vLLM 0.32.0 (C(entrypoints/openai), C(entrypoints/pooling), C(entrypoints/speech_to_text)); 0.8.5 has them too.
"""

from __future__ import annotations

import json
import math
import struct
import time
import typing as t

from ._openai_api import Api, ApiError, shown

AUTO = "auto"
CHAT, COMPLETION, EMBEDDING, SCORE, RERANK, CLASSIFY, POOLING, TRANSCRIPTION = TASKS = (
    "chat", "completion", "embedding", "score", "rerank", "classify", "pooling", "transcription",
)
# For a service with an unknown task: the tasks to try, until the service supports one.
_TRIED = (CHAT, COMPLETION, EMBEDDING, SCORE, CLASSIFY, TRANSCRIPTION, POOLING)
# vLLM's statuses for an unsupported task: no such path, not supported by the model, or no chat template.
_NO_SUCH_THING = (400, 404, 405, 501)

_BOUNDARY = "inferops-gate-boundary"


class Question(t.NamedTuple):
    """A request to a service. C(thinking) is how its model thinks (never, hybrid, always; empty: unknown), C(switch) the argument of its chat
    template that turns that off."""

    model: str
    thinking: str = ""
    switch: str = ""
    prompt: str = "Say one word."
    max_tokens: int = 16


def verify(api: Api, task: str, question: Question, adapters: t.Sequence[str] = ()) -> dict[str, t.Any]:
    """Check the health endpoint and the model list, which has to have the LoRA adapters too; return C(task), C(content), C(tokens) and C(seconds) of a
    real answer. Raises ApiError.
    """
    api.read("/health")
    names = [entry.get("id") for entry in _list(api.call("/v1/models"), "data", "/v1/models") if isinstance(entry, dict)]
    if question.model not in names:
        raise ApiError(f"/v1/models lists {shown(', '.join(map(str, names))) or 'nothing'} and not {question.model}")
    missing = [name for name in adapters if name not in names]
    if missing:
        raise ApiError(f"/v1/models does not list its adapters {', '.join(missing)}: the service's journal has the reason (lora_adapters)")
    return ask(api, task, question)


def ask(api: Api, task: str, question: Question) -> dict[str, t.Any]:
    """Send the task's request; return C(task), C(content), C(tokens) and C(seconds) of the answer. Raises ApiError."""
    if task != AUTO:
        return _ask(api, task, question)
    first: ApiError | None = None
    for tried in _TRIED:
        try:
            return _ask(api, tried, question)
        except ApiError as error:
            if error.status not in _NO_SUCH_THING:
                raise
            first = first or error
    raise ApiError(f"it supports none of the tasks ({', '.join(_TRIED)}); the first answer: {first}", first.status if first else 0)


def _ask(api: Api, task: str, question: Question) -> dict[str, t.Any]:
    start = time.monotonic()
    content, tokens = _ASKED[task](api, question)
    return {"task": task, "content": content, "tokens": tokens, "seconds": round(time.monotonic() - start, 3)}


def _chat(api: Api, question: Question) -> tuple[str, int | None]:
    body: dict[str, t.Any] = {
        "model": question.model, "messages": [{"role": "user", "content": question.prompt}], "max_tokens": question.max_tokens, "temperature": 0,
    }
    if question.thinking == "hybrid" and question.switch:
        body["chat_template_kwargs"] = {question.switch: False}
    answer = api.call("/v1/chat/completions", body)
    content, thought = read_message(answer)
    # A thinking model may have had no tokens left for content. For a model that does not think, or must not, reasoning alone is not an answer.
    counts = question.thinking in ("always", "") or (question.thinking == "hybrid" and not question.switch)
    if not content and not (counts and thought):
        raise ApiError(f"a completion has empty content{explain_thought(thought, question)}", 200)
    return content or thought, _tokens(answer)


def read_message(answer: t.Any) -> tuple[str, str]:
    """Return content and reasoning of the first choice of a chat completion. Raises ApiError for another format."""
    choice = _first(answer, "choices", "/v1/chat/completions", "a completion")
    message = choice.get("message")
    if not isinstance(message, dict):
        raise _other("/v1/chat/completions", "a completion", answer)
    # The field was `reasoning_content` in older versions of vLLM.
    return _text(message.get("content")), _text(message.get("reasoning") or message.get("reasoning_content"))


def explain_thought(thought: str, question: Question) -> str:
    """Return the usual cause of an empty answer."""
    if not thought:
        return ""
    if question.thinking == "hybrid":
        return f"; all of it is in `reasoning`, although the request has {question.switch}: false: set reasoning_parser to the one for this model"
    return "; all of it is in `reasoning`: this model does not think, remove its reasoning_parser"


def _completion(api: Api, question: Question) -> tuple[str, int | None]:
    body: dict[str, t.Any] = {"model": question.model, "prompt": question.prompt, "max_tokens": question.max_tokens, "temperature": 0}
    answer = api.call("/v1/completions", body)
    choice = _first(answer, "choices", "/v1/completions", "a completion")
    if choice.get("text") == "" and choice.get("finish_reason") == "stop":
        # A base model may take the prompt for a whole text, which ends there. min_tokens is vLLM's own field.
        answer = api.call("/v1/completions", {**body, "min_tokens": 1})
        choice = _first(answer, "choices", "/v1/completions", "a completion")
    text = choice.get("text")
    # A base model may continue the prompt with a line break.
    if not isinstance(text, str) or not text:
        raise ApiError("a completion has empty text", 200)
    return text.strip(), _tokens(answer)


def _embedding(api: Api, question: Question) -> tuple[str, int | None]:
    answer = api.call("/v1/embeddings", {"model": question.model, "input": question.prompt})
    vector = _first(answer, "data", "/v1/embeddings", "an embedding").get("embedding")
    _check_numbers(vector, "/v1/embeddings", "an embedding", answer)
    if not any(vector):
        raise ApiError(f"/v1/embeddings answered {len(vector)} numbers that are all 0", 200)
    return f"{len(vector)} numbers", _tokens(answer, "prompt_tokens")


def _score(api: Api, question: Question) -> tuple[str, int | None]:
    answer = api.call("/score", {"model": question.model, "text_1": question.prompt, "text_2": "A word."})
    score = _first(answer, "data", "/score", "a score").get("score")
    _check_numbers([score], "/score", "a score", answer)
    return f"score {score:.4g}", _tokens(answer, "prompt_tokens")


def _rerank(api: Api, question: Question) -> tuple[str, int | None]:
    documents = ["A word.", "The sea is deep."]
    answer = api.call("/rerank", {"model": question.model, "query": question.prompt, "documents": documents})
    results = [result for result in _list(answer, "results", "/rerank") if isinstance(result, dict)]
    scores = [result.get("relevance_score") for result in results]
    if len(scores) != len(documents):
        raise _other("/rerank", f"{len(documents)} documents in their order", answer)
    _check_numbers(scores, "/rerank", "scores", answer)
    return "scores " + ", ".join(f"{score:.4g}" for score in scores), _tokens(answer, "total_tokens")


def _classify(api: Api, question: Question) -> tuple[str, int | None]:
    answer = api.call("/classify", {"model": question.model, "input": question.prompt})
    first = _first(answer, "data", "/classify", "a class")
    _check_numbers(first.get("probs"), "/classify", "probabilities", answer)
    return f"{shown(first.get('label'))} of {len(first['probs'])} classes", _tokens(answer, "prompt_tokens")


def _pooling(api: Api, question: Question) -> tuple[str, int | None]:
    answer = api.call("/pooling", {"model": question.model, "input": question.prompt})
    data = _first(answer, "data", "/pooling", "what a pooler makes").get("data")
    # One vector for the text, or one for each of its tokens.
    rows = data if isinstance(data, list) and data and isinstance(data[0], list) else [data]
    for row in rows:
        _check_numbers(row, "/pooling", "numbers", answer)
    return f"{len(rows)} x {len(rows[0])} numbers", _tokens(answer, "prompt_tokens")


def _transcription(api: Api, question: Question) -> tuple[str, int | None]:
    fields = {"model": question.model, "response_format": "json", "temperature": "0"}
    parts = [f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="tone.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    body = b"".join([*parts, head.encode(), tone(), f"\r\n--{_BOUNDARY}--\r\n".encode()])
    text = api.read("/v1/audio/transcriptions", body, f"multipart/form-data; boundary={_BOUNDARY}")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    # The transcription of a tone may be empty.
    if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
        raise ApiError(f"/v1/audio/transcriptions did not answer with a transcription: {shown(text)}", 200)
    return answer["text"].strip() or "(no words in a tone)", None


def tone(seconds: float = 1.0, rate: int = 16000) -> bytes:
    """Return a WAV file with a tone of 440 Hz: one channel, 16 bits."""
    count = int(seconds * rate)
    samples = struct.pack(f"<{count}h", *(int(8000 * math.sin(2 * math.pi * 440 * index / rate)) for index in range(count)))
    head = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVEfmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", len(samples))
    return head + samples


_ASKED: dict[str, t.Callable[[Api, Question], tuple[str, t.Union[int, None]]]] = {
    CHAT: _chat, COMPLETION: _completion, EMBEDDING: _embedding, SCORE: _score, RERANK: _rerank, CLASSIFY: _classify, POOLING: _pooling,
    TRANSCRIPTION: _transcription,
}


def _other(path: str, expected: str, answer: t.Any) -> ApiError:
    return ApiError(f"{path} did not answer with {expected}: {shown(_json(answer))}", 200)


def _json(answer: t.Any) -> str:
    try:
        return json.dumps(answer)
    except (ValueError, RecursionError):
        return f"a {type(answer).__name__}"


def _list(answer: t.Any, key: str, path: str) -> list[t.Any]:
    """Return the list in a key of an answer. Raises ApiError for another format."""
    found = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise _other(path, f"a list of {key}", answer)
    return found


def _first(answer: t.Any, key: str, path: str, expected: str) -> dict[str, t.Any]:
    """Return the first object of the list in a key of an answer. Raises ApiError for another format."""
    found = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        raise _other(path, expected, answer)
    return found[0]


def _text(value: t.Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _check_numbers(values: t.Any, path: str, expected: str, answer: t.Any) -> None:
    """Raise ApiError unless this is a list of finite numbers: an engine with wrong computations answers NaN."""
    if not isinstance(values, list) or not values or not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        raise _other(path, expected, answer)
    if not all(abs(value) < 1e300 for value in values):
        raise ApiError(f"{path} answered with NaN or infinite numbers", 200)


def _tokens(answer: dict[str, t.Any], key: str = "completion_tokens") -> int | None:
    usage = answer.get("usage")
    found = usage.get(key) if isinstance(usage, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None
