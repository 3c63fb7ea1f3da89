"""Charts as inline SVG. Colours are CSS classes and sizes are attributes, because a page allows no inline style.

Each has a title, which is its name for people who do not see it, and a description with its figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The size of a sparkline; two units for each of 60 minutes.
_WIDTH: Final = 120
_HEIGHT: Final = 28
_TOP: Final = 2

#: Where the columns stand.
_GROUND: Final = _HEIGHT - 1

_SVG: Final = Markup(
    '<svg class="{}" viewBox="0 0 {} {}" width="{}" height="{}" role="img">'
    "<title>{}</title><desc>{}</desc>{}</svg>"
)

_PART: Final = Markup('<rect class="part-{}" x="{}" y="0" width="{}" height="8"/>')


def sparkline(
    title: str,
    figures: str,
    values: Sequence[float | None],
    *,
    behind: Sequence[float | None] = (),
    least: float = 0.0,
) -> Markup:
    """Return a column for each value, on a scale of its own. None: not known, there the ground has a gap.

    Parameters:
      figures: the text equivalent.
      behind: larger values, drawn behind the others.
      least: the value that fills the height at least, so that noise does not look like a change.
    """
    most = max((value for value in (*values, *behind) if value is not None), default=0.0)
    scale = (_GROUND - _TOP) / max(most, least, 1e-9)
    paths = [Markup('<path class="ground" d="{}"/>').format(_ground(values))]
    for style, several in (("behind", behind), ("front", values)):
        if drawn := _columns(several, scale):
            paths.append(Markup('<path class="{}" d="{}"/>').format(style, drawn))
    return _svg("spark", _HEIGHT, title, figures, paths)


def share(title: str, figures: str, parts: Sequence[float]) -> Markup:
    """Return one bar of several parts, in proportion. The first four have colours of their own."""
    whole, left = sum(parts) or 1.0, 0.0
    drawn: list[Markup] = []
    for number, part in enumerate(parts):
        width = part / whole * _WIDTH
        drawn.append(_PART.format(min(number, 3), f"{left:.1f}", f"{width:.1f}"))
        left += width
    return _svg("share", 8, title, figures, drawn)


def _svg(style: str, height: int, title: str, figures: str, drawn: Sequence[Markup]) -> Markup:
    return _SVG.format(style, _WIDTH, height, _WIDTH, height, title, figures, Markup("").join(drawn))


def _columns(values: Sequence[float | None], scale: float) -> str:
    """A path of vertical lines. A value above 0 is never invisible."""
    step = _WIDTH // max(len(values), 1)
    return "".join(
        f"M{number * step + step // 2} {_GROUND}v-{max(value * scale, 1.0):.3g}"
        for number, value in enumerate(values)
        if value
    )


def _ground(values: Sequence[float | None]) -> str:
    """A path of horizontal lines below the values that are known."""
    step, drawn, begun = _WIDTH // max(len(values), 1), [], -1
    for number, value in enumerate((*values, None)):
        if value is not None and begun < 0:
            begun = number
        elif value is None and begun >= 0:
            drawn.append(f"M{begun * step} {_HEIGHT - 0.5}H{number * step}")
            begun = -1
    return "".join(drawn)
