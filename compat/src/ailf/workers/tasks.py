"""The tasks that workers know."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

from ..messaging._server import address_of, driver, reaching
from .celery_app import app, remote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "analyze_content",
    "batch_process",
    "fetch_and_process",
    "periodic_cleanup",
    "process_document",
]

DOCUMENTS_DIR = "AILF_DOCUMENTS_DIR"
_PATIENCE = 30.0
_LARGEST_ANSWER = 50_000_000
_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_GLAD = {"best", "better", "excellent", "good", "great", "happy", "love", "nice", "success"}
_SAD = {"bad", "broken", "error", "failed", "failure", "hate", "poor", "terrible", "worse", "worst"}
_TOPICS = 5
_LONG = 4


@remote("tasks.process_document")
def process_document(document_id: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Count the words of a document.

    Its text is ``options["text"]``, else the Redis key ``document:<id>``, else the file of that
    name under AILF_DOCUMENTS_DIR. A document that is nowhere has no words.
    """
    return _processed(document_id, options or {})


@remote("tasks.analyze_content")
def analyze_content(content: str, analysis_type: str = "general") -> dict[str, Any]:
    """Tell what a text is about: its most frequent words, its mood, and how it begins."""
    began = monotonic()
    words = _WORD.findall(content.lower())
    mood = sum(word in _GLAD for word in words) - sum(word in _SAD for word in words)
    topics = Counter(word for word in words if len(word) >= _LONG and not word.isdigit())
    return {
        "analysis_type": analysis_type,
        "processing_time": monotonic() - began,
        "results": {
            "sentiment": "positive" if mood > 0 else "negative" if mood < 0 else "neutral",
            "key_topics": [word for word, _ in topics.most_common(_TOPICS)],
            "summary": _SENTENCE.split(content.strip(), 1)[0],
            "word_count": len(words),
        },
    }


@remote("tasks.batch_process", bind=True)
def batch_process(
    self: Any, item_ids: Sequence[str], options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Process several documents; the state PROGRESS says how far it is. One that fails is noted."""
    began = monotonic()
    items: list[dict[str, Any]] = []
    failed = 0
    for done, item in enumerate(item_ids):
        if self.request.id and not self.request.is_eager:  # somebody may ask
            progress = {
                "current": done,
                "total": len(item_ids),
                "percent": 100 * done // len(item_ids),
                "processed": done - failed,
                "failed": failed,
            }
            self.update_state(state="PROGRESS", meta=progress)
        try:
            items.append({"item_id": item, **_processed(item, options or {})})
        except Exception as error:  # noqa: BLE001  # one bad document, and the others go on
            failed += 1
            items.append({"item_id": item, "status": "error", "error": str(error)})
    return {
        "processed": len(items) - failed,
        "failed": failed,
        "items": items,
        "total": len(items),
        "total_time": monotonic() - began,
    }


@remote("tasks.fetch_and_process")
def fetch_and_process(url: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Fetch a page over HTTP, and tell how large it is."""
    began = monotonic()
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"only http:// and https:// are fetched, not {url!r}")
    if params:
        url += ("&" if urlsplit(url).query else "?") + urlencode(params, doseq=True)
    try:
        with urlopen(url, timeout=_PATIENCE) as answer:  # noqa: S310  # its scheme was looked at
            body = answer.read(_LARGEST_ANSWER + 1)
            status = answer.status
    except OSError as error:  # of a kind that would lose its text on the way to the caller
        raise OSError(f"{url} could not be fetched: {error}") from error
    if len(body) > _LARGEST_ANSWER:
        raise ValueError(f"{url} is longer than {_LARGEST_ANSWER} bytes, which is the limit")
    return {
        "url": url,
        "status_code": status,
        "processing_time": monotonic() - began,
        "data_size": len(body),
        "processed": True,
    }


@remote("tasks.periodic_cleanup")
def periodic_cleanup() -> dict[str, Any]:
    """Have the result backend drop the results that are too old; those in Redis expire anyway."""
    began, timestamp = monotonic(), time()
    app.backend.cleanup()
    return {"task": "cleanup", "timestamp": timestamp, "duration": monotonic() - began}


def _processed(document_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    began = monotonic()
    text = options.get("text")
    if text is None:
        text = _from_redis(document_id)
    if text is None:
        text = _from_file(document_id)
    return {
        "document_id": document_id,
        "status": "success",
        "processing_time": monotonic() - began,
        "metadata": {"word_count": len((text or "").split()), "processed_at": time()},
    }


def _from_redis(document_id: str) -> str | None:
    """What the broker has under that key, if it is a Redis server."""
    url = str(app.conf.broker_url)
    if not url.startswith(("redis://", "rediss://")):
        return None
    with reaching(address_of(url)), driver().Redis.from_url(url, decode_responses=True) as client:
        text: str | None = client.get(f"document:{document_id}")
        return text


def _from_file(document_id: str) -> str | None:
    """A file of that name, wherever links lead, inside the directory."""
    directory = os.environ.get(DOCUMENTS_DIR)
    if not directory:
        return None
    root = Path(directory).resolve()
    path = (root / document_id).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        return None
    return path.read_text(encoding="utf-8", errors="replace")
