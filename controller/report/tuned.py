"""What `tune` has found: its table, and a page with the frontier as a chart."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Final

from agent.wire.study import Recipe
from agent.wire.tuning import Trial, Tuning
from agent.wire.wording import many
from controller.client.fleet import printable
from controller.report.page import pairs, section, table, whole
from controller.report.rows import number, percent, share

COLUMNS: Final = (
    "network",
    "long side",
    "precision",
    "device",
    "hint",
    "quality",
    "missed",
    "invented",
    "FPS",
    "latency ms",
    "CPU ms",
    "age p95 ms",
    "CPU %",
    "wish",
)
WORDS: Final = frozenset({"network", "precision", "device", "hint", "wish"})
"""Columns of which none is a figure."""
HEIGHT_PX: Final = 220
"""Of a panel, from a quality of 1 down to 0."""
ABOVE_PX, BELOW_PX = 8, 22
LEFT: Final = 7.0
"""Percent of the width that the figures beside the axis take."""
LONGEST: Final = 84.0
"""Percent of the width up to the dearest, or fastest."""
RADIUS_PX: Final = 5
PARTS: Final = 4
"""Of an axis."""
LEGEND: Final = (
    "Filled: worth having, none finds more and is as fast, as soon and as cheap. Ringed: the winner. Hollow: another "
    "finds as much for less. Dashed: the wish. The numbers are those of the table."
)


def wished(tuning: Tuning) -> str:
    """The wish in words."""
    wish = tuning.wish
    asked = [f"{number(wish.fps)} frames a second"]
    asked += [f"an age of at most {wish.age_ms:g} ms"] if wish.age_ms is not None else []
    asked += [f"at most {wish.cpu_percent:g} % of a core"] if wish.cpu_percent is not None else []
    return ", ".join(asked)


def looked_at(tuning: Tuning) -> str:
    """On what, and who says what is right."""
    clip, seen_by = tuning.clip, name_of(tuning.reference)
    return (
        f"{many(clip.frames, 'frame')} of {clip.name}, {number(tuning.people)} people in each, as {seen_by} sees them"
    )


def name_of(recipe: Recipe) -> str:
    """A configuration in words."""
    side = f"{recipe.long_side} px" if recipe.long_side else None
    return " ".join(word for word in (recipe.model, side, recipe.precision, recipe.device, recipe.hint) if word)


def shown(tuning: Tuning) -> list[int]:
    """The frontier, and what was decided or tried beside it; the best quality first."""
    tried = {index for index, trial in enumerate(tuning.trials) if trial.at_pace is not None}
    wanted = {index for index in (*tuning.frontier, *tried) if 0 <= index < len(tuning.trials)}
    return sorted(wanted, key=lambda index: (-(tuning.trials[index].quality or 0.0), index))


def cells(trial: Trial, *, chosen: bool) -> list[str]:
    """One trial as texts below the headings."""
    recipe, seen, agreement = trial.recipe, trial.at_pace, trial.agreement
    missed = share(agreement.missed, agreement.people) if agreement else None
    invented = share(agreement.invented, agreement.people) if agreement else None
    held = "not tried" if seen is None else "holds"
    verdict = "winner" if chosen else "; ".join(trial.fails) or held
    texts = [recipe.model, str(recipe.long_side or "-"), recipe.precision, recipe.device, recipe.hint or "-"]
    texts += [number(trial.quality), percent(missed), percent(invented)]
    texts += [number(value) for value in (trial.fps, trial.latency_ms, trial.cpu_ms)]
    texts += [number(seen.age_ms_p95 if seen else None), number(seen.cpu_percent if seen else None), verdict]
    return [printable(text) for text in texts]


def as_html(tuning: Tuning) -> str:
    """Make the page; it is XML as well."""
    unmeasured = [trial for trial in tuning.trials if trial.status in {"unavailable", "failed"}]
    reasons = [("", [name_of(trial.recipe), trial.status, trial.reason]) for trial in unmeasured]
    without = [table(["configuration", "status", "reason"], reasons, [False] * 3)] if reasons else []
    facts = {"Wish": wished(tuning), "Looked at": looked_at(tuning), "Box": f"{tuning.host.cpu}, {tuning.host.os}"}
    facts |= {"Begun": tuning.started_at.isoformat(" ", "minutes"), "OpenVINO": tuning.openvino_version}
    facts |= {"Not looked at": f"{tuning.left_out}, the time was over"} if tuning.left_out else {}
    return whole(
        f"What to run on {tuning.device_id}",
        [f"<p><strong>{escape(tuning.verdict)}.</strong></p>"],
        section("What finding more costs", _figure(tuning)),
        section("Worth having", _rows(tuning)),
        section("Without figures", without),
        section("What was asked, and of what", pairs((name, escape(text)) for name, text in facts.items())),
    )


def _rows(tuning: Tuning) -> Iterator[str]:
    lines = []
    for place, index in enumerate(shown(tuning), 1):
        chosen = index == tuning.winner
        lines.append(("set" if chosen else "", [str(place), *cells(tuning.trials[index], chosen=chosen)]))
    if lines:
        yield table(["", *COLUMNS], lines, [True, *(name not in WORDS for name in COLUMNS)])


def _figure(tuning: Tuning) -> Iterator[str]:
    """Quality over what it costs, in two panels; nothing where nothing was measured."""
    measured = [index for index, trial in enumerate(tuning.trials) if trial.quality is not None]
    if not measured:
        return
    words = "; ".join(
        f"{name_of(trial.recipe)}: {number(trial.quality)}, {number(trial.cpu_ms)} ms, {number(trial.fps)} a second"
        for trial in map(tuning.trials.__getitem__, shown(tuning))
        if trial.quality is not None
    )
    cost = _panel("processor time of a frame, ms (less is better)", tuning, measured, lambda trial: trial.cpu_ms, None)
    speed = _panel("frames a second (more is better)", tuning, measured, lambda trial: trial.fps, tuning.wish.fps)
    yield (
        f'<figure role="img" aria-label="{escape(f"Quality, processor time and speed. {words}")}">\n'
        f'<div class="panels">{cost}{speed}</div>\n<figcaption>{escape(LEGEND)}</figcaption>\n</figure>'
    )


def _panel(
    heading: str,
    tuning: Tuning,
    measured: Sequence[int],
    cost: Callable[[Trial], float | None],
    wish: float | None,
) -> str:
    """One panel: quality upwards, ``cost`` to the right."""
    costs = {index: value for index in measured if (value := cost(tuning.trials[index])) is not None}
    most = max((*costs.values(), wish or 0.0)) or 1.0
    places = {index: place for place, index in enumerate(shown(tuning), 1)}

    def across(value: float) -> str:
        return f"{LEFT + LONGEST * value / most:.2f}%"

    inner = [_line(f"{LEFT:g}%", down, "100%", down) for down in map(_down, (0.0, 0.5, 1.0))]
    inner += [f'<text x="0" y="{_down(part) + 4:g}">{part:g}</text>' for part in (0.0, 0.5, 1.0)]
    for part in range(PARTS + 1):
        value = most * part / PARTS
        text = escape(number(value) if part else "0")
        inner.append(f'<text x="{across(value)}" y="{ABOVE_PX + HEIGHT_PX + 18}" text-anchor="middle">{text}</text>')
    if wish is not None:
        inner.append(_line(across(wish), ABOVE_PX, across(wish), ABOVE_PX + HEIGHT_PX, 'stroke-dasharray="5 4"'))
    for index, value in sorted(costs.items(), key=lambda each: each[0] in places):  # what is hollow lies below
        inner.append(_point(tuning, index, across(value), places.get(index)))
    drawn = "".join(inner)
    height = ABOVE_PX + HEIGHT_PX + BELOW_PX
    return f'<div><h4>quality over {escape(heading)}</h4><svg height="{height}" aria-hidden="true">{drawn}</svg></div>'


def _down(quality: float) -> float:
    return round(ABOVE_PX + HEIGHT_PX * (1 - quality), 1)


def _line(x1: str, y1: float, x2: str, y2: float, more: str = 'stroke-opacity=".2"') -> str:
    return f'<line x1="{x1}" y1="{y1:g}" x2="{x2}" y2="{y2:g}" {more} />'


def _point(tuning: Tuning, index: int, across: str, place: int | None) -> str:
    """A configuration: a dot with its name, and with its number where the table has it."""
    trial = tuning.trials[index]
    down = _down(trial.quality or 0.0)
    kind = "worth" if index in tuning.frontier else "other"
    dot = f'<circle class="{kind}" cx="{across}" cy="{down:g}" r="{RADIUS_PX}">'
    found = f"{dot}<title>{escape(name_of(trial.recipe))}</title></circle>"
    if index == tuning.winner:
        found += f'<circle class="winner" cx="{across}" cy="{down:g}" r="{2 * RADIUS_PX}" />'
    if place is not None:
        found += f'<text x="{across}" dx="{2 * RADIUS_PX + 3}" y="{down + 4:g}">{place}</text>'
    return found
