"""Simulation of polls: the real policy against a vendor with predefined answers."""

from worker.policy.simulation.figures import Figures
from worker.policy.simulation.polling import Played, simulate
from worker.policy.simulation.scenario import Scenario, Span, Traffic, evenly

__all__ = ["Figures", "Played", "Scenario", "Span", "Traffic", "evenly", "simulate"]
