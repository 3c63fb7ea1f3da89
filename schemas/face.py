"""The face of a result: what the vendor's liveness and face authentication products add to an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from marshmallow import ValidationError, fields

from schemas.document import Link
from schemas.record import VendorRecord

#: The role of each linked object in the evidence, and the vendor's name of its link.
FACE_LINKS: Final = {
    "face": "faceImage",
    "face_far": "faceImageFar",
    "face_near": "faceImageNear",
    "silent": "silentImage",
    "audit": "auditImageUrl",
    "video": "faceVideoUrl",
}

#: Scores go from 0 to 100.
MAX_SCORE: Final = 100

#: Attack types with which a face may pass: none, and 3, with which the vendor is unsure.
_MAY_PASS: Final = (None, 3)

#: The vendor's words for a video that is not ready, or that failed.
_NO_VIDEO: Final = frozenset({"PENDING", "ERROR"})


@dataclass(frozen=True, slots=True)
class FaceDetail:
    """The face. `links` are pairs of a role and a link; they stay out of the `repr`."""

    face_result: str | None = None
    liveness_score: float | None = None
    similarity_score: float | None = None
    #: 1 presentation, 2 injection, 3 unsure; other numbers are not documented.
    attack_type: int | None = None
    links: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def is_attack(self) -> bool:
        """Whether the attack type contradicts a PASS. A number that is not documented does."""
        return self.attack_type not in _MAY_PASS


class Score(fields.Field[float]):
    """A finite number from 0 to 100. Numbers as text are refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        del attr, data, kwargs
        # NaN is not between the two either.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SCORE:
            raise ValidationError(f"must be a number from 0 to {MAX_SCORE}")
        return float(value)


class AttackType(fields.Field[int]):
    """A small number without sign."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        del attr, data, kwargs
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SCORE:
            raise ValidationError("must be the number of an attack type")
        return value


class VideoLink(Link):
    """The link of a video. `PENDING` and `ERROR` load as None."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        if isinstance(value, str) and value.strip().upper() in _NO_VIDEO:
            return None
        return super()._deserialize(value, attr, data, **kwargs)


class FaceDetailSchema(VendorRecord):
    """`faceDetail`. Tables decide on both scores, so a score that cannot be read makes the answer unreadable."""

    into = FaceDetail
    decided = frozenset({"faceResult", "faceLivenessScore", "faceSimilarityScore", "livenessAttackType"})
    unread = frozenset(
        {
            *("faceImageTime", "faceImageFarTime", "faceImageNearTime", "silentImageTime"),
            *("livenessType", "livenessFlowCategory", "eventDetails"),
        }
    )

    face_result = fields.String()
    liveness_score = Score(data_key="faceLivenessScore")
    similarity_score = Score(data_key="faceSimilarityScore")
    attack_type = AttackType(data_key="livenessAttackType")
    face = Link(data_key=FACE_LINKS["face"])
    face_far = Link(data_key=FACE_LINKS["face_far"])
    face_near = Link(data_key=FACE_LINKS["face_near"])
    silent = Link(data_key=FACE_LINKS["silent"])
    audit = Link(data_key=FACE_LINKS["audit"])
    video = VideoLink(data_key=FACE_LINKS["video"])

    def said(self, data: dict[str, Any]) -> dict[str, Any]:
        links = [(role, data.pop(role, None)) for role in FACE_LINKS]
        return data | {"links": tuple((role, link) for role, link in links if link)}
