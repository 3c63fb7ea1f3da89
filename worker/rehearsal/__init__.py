"""The polls of a verification on paper: the real policy, played against a vendor of whom all is known beforehand."""

from worker.rehearsal.course import Course, Span, Traffic, evenly
from worker.rehearsal.figures import Figures
from worker.rehearsal.play import Played, play

__all__ = ["Course", "Figures", "Played", "Span", "Traffic", "evenly", "play"]
