# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A load of streams on a service, as long as something is done to it; every request is counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from openai import OpenAI, OpenAIError

STREAMS = 20


@dataclass
class Load:
    """What became of the requests: complete answers, and errors as the client shows them."""

    complete: int = 0
    errors: list[str] = field(default_factory=list)


@contextmanager
def load(url: str, key: str, model: str, tokens: int, streams: int = STREAMS) -> Iterator[Load]:
    """Keep some streams open at the same time, each followed by the next; the client retries nothing. An answer that ends early is an error."""
    found, stop, lock = Load(), threading.Event(), threading.Lock()

    def run() -> None:
        client = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60)
        while not stop.is_set():
            error = ""
            try:
                events = client.completions.create(model=model, prompt="Count", max_tokens=tokens, stream=True, extra_body={"ignore_eos": True})
                ends = [event.choices[0].finish_reason for event in events if event.choices]
                if not ends or ends[-1] != "length":
                    error = f"the stream ended after {len(ends)} events"
            except (OpenAIError, OSError) as failed:
                error = f"{type(failed).__name__}: {failed}"
            with lock:
                if error:
                    found.errors.append(error)
                else:
                    found.complete += 1

    threads = [threading.Thread(target=run, daemon=True) for _number in range(streams)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=120)
