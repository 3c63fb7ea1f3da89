"""The profiles: what the vendor does, and how long those wait who are answered null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: A photo of a document, small.
IMAGE_BYTES: Final = 60_000


@dataclass(frozen=True, slots=True)
class Profile:
    """What the vendor's stand-in does.

    Parameters:
      get_result_s, image_s: how long a call takes, in seconds.
      nulls: answers null before there is a result.
      countdown_s: between two polls, the same mean for everybody.
    """

    name: str
    about: str
    get_result_s: float = 0.0
    image_s: float = 0.0
    nulls: int = 0
    countdown_s: float = 1.0

    @property
    def polls(self) -> int:
        """Calls of get-result that a verification takes."""
        return self.nulls + 1

    @property
    def waits_s(self) -> float:
        """How long a verification takes on average that nobody keeps waiting."""
        return self.nulls * self.countdown_s + self.polls * self.get_result_s + 2 * self.image_s


CPU: Final = Profile("cpu", "no latency, the result is there at once")
POLLS: Final = Profile("polls", "no latency, three nulls, countdown 1 s", nulls=3)
REAL: Final = Profile(
    "real",
    "get-result 200 ms, images 100 ms, one null, countdown 1 s",
    get_result_s=0.2,
    image_s=0.1,
    nulls=1,
)
#: Of those whose ids begin with `forever-`; the others get their result at once. dramatiq takes no countdown of a week.
WAITING: Final = Profile("waiting", "many wait for days, while 50 a second settle", countdown_s=500_000.0)

PROFILES: Final = {profile.name: profile for profile in (CPU, POLLS, REAL)}
