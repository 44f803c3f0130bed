"""Zones: parts of the picture in which people are counted, and masks, in which nobody is looked at."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from agent.wire.part import Part
from agent.wire.wording import Worded

ZONES_MAX: Final = 32
CORNERS_MAX: Final = 64
AREA_MIN: Final = 1e-4
"""A fraction of the picture: less is a line, or a slip of the mouse."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Point = tuple[Fraction, Fraction]
ZoneName = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$"),
    Worded("1 to 31 lower-case letters, digits, dashes and underscores, starting with a letter or digit"),
]


class Zone(Part):
    """One zone: a polygon in fractions of the picture, (0, 0) at the top left; its last corner joins the first."""

    polygon: Annotated[tuple[Point, ...], Field(min_length=3, max_length=CORNERS_MAX)]
    mask: bool = False
    """Look away: whoever has most of the joints in it is not seen at all."""
    dwell_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    """Seconds after which `zone.dwell` tells that somebody stays; 0 tells of nobody."""

    @model_validator(mode="after")
    def _is_a_surface(self) -> Self:
        if _crosses_itself(self.polygon):
            raise ValueError("the outline crosses itself: name the corners in their order around the zone")
        if abs(area(self.polygon)) < AREA_MIN:
            raise ValueError("the corners enclose no area: they are fractions of the picture, 0 to 1")
        return self


Zones = Annotated[dict[ZoneName, Zone], Field(max_length=ZONES_MAX)]


def area(polygon: tuple[Point, ...]) -> float:
    """Signed area by the shoelace formula, in fractions of the picture."""
    pairs = zip(polygon, (*polygon[1:], polygon[0]), strict=True)
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs) / 2


def _crosses_itself(polygon: tuple[Point, ...]) -> bool:
    """Whether two sides that share no corner cross in a point inside both."""
    sides = list(zip(polygon, (*polygon[1:], polygon[0]), strict=True))
    return any(
        _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0
        for number, (a, b) in enumerate(sides)
        for c, d in sides[number + 1 :]
    )


def _turn(a: Point, b: Point, c: Point) -> float:
    """Positive where the way from a over b to c turns one way, negative for the other."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
