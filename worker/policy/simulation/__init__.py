"""The polls of a verification on paper: the real policy, played against a vendor of whom all is known beforehand."""

from worker.policy.simulation.course import Course, Span, Traffic, evenly
from worker.policy.simulation.figures import Figures
from worker.policy.simulation.play import Played, play

__all__ = ["Course", "Figures", "Played", "Span", "Traffic", "evenly", "play"]
