# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each service answers the endpoint of its task, and none but those that its model supports. The weights are random: what is said means nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import openai
import pytest
from media import png, sine
from openai import OpenAI

DOCUMENTS = ["The children draw maps of the river.", "Bread is baked.", "A lab is a small copy.", "The sea is deep."]

Post = Callable[[str, str, dict[str, Any]], Any]


@pytest.fixture(name="post")
def _post(client_of: Callable[[str], OpenAI]) -> Post:
    """The JSON answer of a service to a request to a path that the official client has no method for."""

    def post(name: str, path: str, body: dict[str, Any]) -> Any:
        client = client_of(name)
        root = str(client.base_url).removesuffix("/v1/")
        return json.loads(client.post(f"{root}{path}", body={"model": name, **body}, cast_to=str))

    return post


def length(vector: list[float]) -> float:
    return math.sqrt(sum(number * number for number in vector))


def test_chat_about_a_picture(client_of: Callable[[str], OpenAI]) -> None:
    """Two pictures, two answers: the picture has reached the model. A picture takes tokens of the prompt."""
    told = []
    for color in ((255, 0, 0), (0, 0, 255)):
        content: Any = [{"type": "image_url", "image_url": {"url": png(color)}}, {"type": "text", "text": "What is this?"}]
        answer = client_of("picture").chat.completions.create(
            model="picture", messages=[{"role": "user", "content": content}], max_tokens=40, temperature=0
        )
        told.append(answer.choices[0].message.content)
        # 128 x 96 pixels are 5 x 3 squares of 28, made larger to have at least 16.
        assert answer.usage and answer.usage.prompt_tokens > 16 and answer.choices[0].finish_reason == "stop"
    assert all(told) and told[0] != told[1]


def test_chat_without_a_picture(client_of: Callable[[str], OpenAI]) -> None:
    answer = client_of("picture").chat.completions.create(
        model="picture", messages=[{"role": "user", "content": "What is this?"}], max_tokens=40, temperature=0
    )
    assert answer.choices[0].message.content


def test_completion(client_of: Callable[[str], OpenAI]) -> None:
    """A base model continues a text, and has no chat template."""
    answer = client_of("base").completions.create(model="base", prompt="In the morning the children", max_tokens=40, temperature=0)
    assert answer.choices[0].text.strip().endswith(".") and answer.choices[0].finish_reason == "stop"
    with pytest.raises(openai.BadRequestError, match="chat template"):
        client_of("base").chat.completions.create(model="base", messages=[{"role": "user", "content": "Say one word."}])


def test_embedding(client_of: Callable[[str], OpenAI]) -> None:
    """A vector of length 1 for each text, the same for the same text, and no others."""
    texts = [*DOCUMENTS, DOCUMENTS[0]]
    answer = client_of("embed").embeddings.create(model="embed", input=texts, encoding_format="float")
    vectors = [item.embedding for item in answer.data]
    assert [len(vector) for vector in vectors] == [64] * len(texts)
    assert [length(vector) for vector in vectors] == pytest.approx([1.0] * len(texts), abs=1e-2)
    alike = [sum(one * other for one, other in zip(vectors[0], vector, strict=True)) for vector in vectors]
    assert alike[-1] > 0.99 and max(alike[1:-1]) < 0.9


@pytest.mark.parametrize("name", ["rerank", "score"])
def test_rerank(post: Post, name: str) -> None:
    """All documents, the best first, each with a score of its own."""
    answer = post(name, "/rerank", {"query": "Where does the river begin?", "documents": DOCUMENTS})
    results = answer["results"]
    assert sorted(result["index"] for result in results) == list(range(len(DOCUMENTS)))
    assert [result["document"]["text"] for result in results] == [DOCUMENTS[result["index"]] for result in results]
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == len(scores) and all(0 <= score <= 1 for score in scores)


@pytest.mark.parametrize("name", ["rerank", "score"])
def test_score(post: Post, name: str) -> None:
    """A score for each pair, in the order of the texts, the same as for the ranks."""
    query = "Where does the river begin?"
    scores = {item["index"]: item["score"] for item in post(name, "/score", {"text_1": query, "text_2": DOCUMENTS})["data"]}
    ranks = {result["index"]: result["relevance_score"] for result in post(name, "/rerank", {"query": query, "documents": DOCUMENTS})["results"]}
    assert scores == pytest.approx(ranks, abs=1e-2)


def test_transcription(client_of: Callable[[str], OpenAI]) -> None:
    """Text for a sound, also for one that is longer than the half minute that the model hears at once."""
    transcriptions = client_of("sound").audio.transcriptions
    short = transcriptions.create(model="sound", file=("tone.wav", sine(440, 1)), language="en", temperature=0).text
    long = transcriptions.create(model="sound", file=("tone.wav", sine(220, 35)), language="en", temperature=0).text
    assert short.split() and len(long.split()) > len(short.split())


def test_transcription_of_an_unknown_language(client_of: Callable[[str], OpenAI]) -> None:
    """The model says which language it hears, where the request does not."""
    assert client_of("sound").audio.transcriptions.create(model="sound", file=("tone.wav", sine(440, 1)), temperature=0).text


@pytest.mark.parametrize("name", ["embed", "rerank", "score", "sound"])
def test_what_is_no_chat(client_of: Callable[[str], OpenAI], name: str) -> None:
    with pytest.raises(openai.APIStatusError):
        client_of(name).chat.completions.create(model=name, messages=[{"role": "user", "content": "Say one word."}])
