"""Magic ids: an id is split at its dashes, and each word may have a meaning. See `docs/sandbox.md`.

Case does not matter. `x2` or `always`, appended to a fault or as the word after it, gives the number of repetitions.
Words without a meaning make the id unique. An id in which no word has a meaning gets a realistic scenario, always the
same for the same id.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from sandbox.catalogue import FACE_CODES
from sandbox.scenario import (
    ALWAYS,
    DOCUMENTED,
    REGIONS,
    RESULTS,
    Country,
    Fault,
    Kind,
    Links,
    Product,
    RetryAfter,
    Scenario,
    Shape,
    Video,
)

#: A day: no client waits longer for one answer, and `threading` cannot.
_LONGEST_S: Final = 86_400.0
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = r"(\d{1,6})(ms|s|m|h)"

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REPEATED: Final = re.compile(r"-(x\d{1,6}|always)(?=-|$)")
_CODE: Final = re.compile(r"(^|-)code-(?=[a-z])")
_TIMES: Final = re.compile(r"(.+?)(?:x(\d{1,6})|(always))?")

_OVERALL: Final = {"docapi": "FAIL", "aspass": "PASS", "asfail": "FAIL", "asincomplete": "INCOMPLETE"}
_SCORE: Final = re.compile(r"(livenessscore|similarityscore|attacktype)(\d{1,3})")
_ALIASES: Final = {"pass": "SUCCESS", "fail": "ID_FORGERY_DETECTED"}

#: A word without its repetition, and the repetition if there is one.
Word = tuple[str, int | None]
Reader = Callable[[Scenario, str, int | None], Scenario | None]


def parse(signature_id: str, *, seed: int = 0) -> Scenario:
    """Return the scenario of `signature_id`. Every id has one. `seed` varies only plain ids."""
    words = _words(signature_id)
    digest = blake2b(f"{seed}:{signature_id}".encode(), digest_size=8).digest()
    blank = scenario = Scenario(country=_country(words, digest))
    for read in _READERS:
        for word, times in words:
            scenario = read(scenario, word, times) or scenario
    return _shared(_lifelike(scenario, digest) if scenario is blank else scenario)


def _words(signature_id: str) -> list[Word]:
    if _UUID.fullmatch(signature_id.lower()):
        return []  # `face` is a group of hexadecimal digits, too
    text = _CODE.sub(r"\1code.", _REPEATED.sub(r"\1", signature_id.lower()))
    return [_word(word) for word in text.split("-") if word]


def _word(text: str) -> Word:
    found = _TIMES.fullmatch(text)
    if not found:
        return text, None
    word, times, always = found.groups()
    return word, ALWAYS if always else int(times) if times else None


def _country(words: list[Word], digest: bytes) -> Country:
    named = (REGIONS[word] for word, _ in words if word in REGIONS)
    return next(named, tuple(REGIONS.values())[digest[0] % len(REGIONS)])


def _lifelike(scenario: Scenario, digest: bytes) -> Scenario:
    """Return PASS for five of six ids, else a documented code; null for 0.5 to 4 s, submitted after one null.

    The callback about the submission comes half way.
    """
    codes = tuple(DOCUMENTED)
    wait_s = 0.5 + digest[3] % 8 / 2
    code = "SUCCESS" if digest[1] % 6 else codes[digest[2] % len(codes)]
    return replace(
        scenario,
        error_code=code,
        overall_result=RESULTS[code],
        wait_s=wait_s,
        submitted_after=1,
        submitted_s=wait_s / 2,
    )


@lru_cache(maxsize=4096)
def _shared(scenario: Scenario) -> Scenario:
    """Return one object for all equal scenarios, so that a million ids take little memory."""
    return scenario


def _result(so_far: Scenario, word: str, _: int | None) -> Scenario | None:
    code = _ALIASES.get(word, word.upper())
    if code not in RESULTS:
        return None
    found = replace(so_far, error_code=code, overall_result=RESULTS[code])
    return _of_a_face(found) if code in FACE_CODES else found


def _product(so_far: Scenario, word: str, _: int | None) -> Scenario | None:
    if word in set(Product):
        return replace(so_far, product=Product(word))
    if word in set(Video):
        return _of_a_face(replace(so_far, video=Video(word)))
    if word == "facefail":
        return _of_a_face(replace(so_far, face_failed=True))
    if word == "alsosuccess":
        return replace(so_far, product=Product.ADDRESS, more_codes=("SUCCESS",))
    found = _SCORE.fullmatch(word)
    return _of_a_face(_scored(so_far, found[1], int(found[2]))) if found else None


def _scored(scenario: Scenario, name: str, value: int) -> Scenario:
    match name:
        case "livenessscore":
            return replace(scenario, liveness_score=value)
        case "similarityscore":
            return replace(scenario, similarity_score=value)
    return replace(scenario, attack_type=value)


def _of_a_face(scenario: Scenario) -> Scenario:
    """The product of an id that names none, and that has a word about a face."""
    if scenario.product is not Product.DOCUMENT:
        return scenario
    return replace(scenario, product=Product.IDENTITY)


def _overall(so_far: Scenario, word: str, _: int | None) -> Scenario | None:
    return replace(so_far, overall_result=_OVERALL[word]) if word in _OVERALL else None


def _waiting(so_far: Scenario, word: str, _: int | None) -> Scenario | None:
    if word == "forever":
        return replace(so_far, nulls=ALWAYS)
    if word == "submitted":
        return replace(so_far, submitted_after=0)
    if found := re.fullmatch(r"n(\d{1,6})", word):
        return replace(so_far, nulls=int(found[1]))
    if found := re.fullmatch(r"sub(\d{1,6})", word):
        return replace(so_far, submitted_after=int(found[1]))
    if found := re.fullmatch(f"t{_DURATION}", word):
        return replace(so_far, wait_s=_seconds(found))
    return None


def _user(so_far: Scenario, word: str, _: int | None) -> Scenario | None:
    found = re.fullmatch(f"user{_DURATION}", word)
    return replace(so_far, submitted_s=_seconds(found)) if found else None


def _latency(so_far: Scenario, word: str, times: int | None) -> Scenario | None:
    if found := re.fullmatch(f"latency{_DURATION}", word):
        return replace(so_far, latency_s=_seconds(found), latency_times=times or 1)
    return None


def _shape(so_far: Scenario, word: str, _: int | None) -> Scenario | None:
    if word not in set(Shape):
        return None
    return replace(so_far, shapes=so_far.shapes | {Shape(word)})


def _fault(so_far: Scenario, word: str, times: int | None) -> Scenario | None:
    fault = _named_fault(word, times) or _numbered_fault(word, times or 1)
    return replace(so_far, faults=(*so_far.faults, fault)) if fault else None


def _named_fault(word: str, times: int | None) -> Fault | None:
    if word in _PLAIN_FAULTS:
        return Fault(Kind(word), times or 1)
    if word == "busy":
        return Fault(Kind.CODE, times or 1, code="SERVICE_BUSY")
    if word == "notexist":
        return Fault(Kind.CODE, times or ALWAYS, code="SIGNATURE_NOT_EXIST")
    if found := re.fullmatch(r"code\.([a-z0-9_]+)", word):
        return Fault(Kind.CODE, times or 1, code=found[1].upper())
    return None


def _numbered_fault(word: str, times: int) -> Fault | None:
    if found := re.fullmatch(r"lag(\d{1,6})", word):
        return Fault(Kind.CODE, int(found[1]), code="SIGNATURE_NOT_EXIST")
    if found := re.fullmatch(r"http([45]\d\d)", word):
        return Fault(Kind.HTTP, times, status=int(found[1]))
    if found := re.fullmatch(r"retryafter(\d{1,6})(s?)", word):
        return _busy(times, RetryAfter(int(found[1]), found[2]))
    if found := re.fullmatch(r"retrydate(\d{1,6})s", word):
        return _busy(times, RetryAfter(int(found[1]), "date"))
    return None


def _busy(times: int, retry_after: RetryAfter) -> Fault:
    return Fault(Kind.CODE, times, code="SERVICE_BUSY", retry_after=retry_after)


def _image(so_far: Scenario, word: str, times: int | None) -> Scenario | None:
    if word in {Links.PRIVATE, Links.NONE}:
        return replace(so_far, links=Links(word))
    if word == "imgexpired":
        return replace(so_far, dead_links=times or 1)
    if found := re.fullmatch(f"imgslow{_DURATION}", word):
        return replace(so_far, image_latency_s=_seconds(found))
    if found := re.fullmatch(r"img([45]\d\d)", word):
        return replace(so_far, image_fault=Fault(Kind.HTTP, times or 1, status=int(found[1])))
    if word in _IMAGE_FAULTS:
        return replace(so_far, image_fault=replace(_IMAGE_FAULTS[word], times=times or ALWAYS))
    return None


def _seconds(found: re.Match[str]) -> float:
    return min(int(found[1]) * _UNITS[found[2]], _LONGEST_S)


_PLAIN_FAULTS: Final = frozenset(Kind) - {Kind.CODE, Kind.HTTP, Kind.NOT_IMAGE, Kind.REDIRECT}
_IMAGE_FAULTS: Final = {
    "notimage": Fault(Kind.NOT_IMAGE),
    "imgoversized": Fault(Kind.OVERSIZED),
    "imgredirect": Fault(Kind.REDIRECT),
    "imgdown": Fault(Kind.HTTP, status=503),
}
#: Each reader reads the whole id before the next one, so that `docapi` may come before or after the code it changes.
_READERS: Final[tuple[Reader, ...]] = (
    _result,
    _product,
    _overall,
    _waiting,
    _user,
    _latency,
    _shape,
    _fault,
    _image,
)
