"""Promises of the OpenPose decoder."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.config.tree import InputSize
from agent.inference.letterbox import Letterbox
from agent.poses.decoders import decoder_for
from agent.poses.openpose import (
    COCO,
    JOINTS,
    JOINTS_MIN,
    LIMBS,
    PEAKS_MAX,
    Limbs,
    OpenPoseDecoder,
    Peaks,
    assemble,
    find_limbs,
)
from models.judging.evaluate import evaluate
from models.shelf import catalogue
from models.shelf.store import Store
from tests.poses.openpose_fields import REACH, STRIDE, Flags, Floats, draw_fields, draw_person, to_cells

NETWORK = "openpose-mobilenet-v2-small"
HEIGHT, WIDTH = 368, 432
IDENTITY = Letterbox.fit((0, 0, WIDTH, HEIGHT), (HEIGHT, WIDTH))
APART = 3.0
"""Cells between two maxima with a lower cell between them, wherever in their cells they are."""


def decoder(**changes: float) -> OpenPoseDecoder:
    bounds = {"person_score_min": 0.05, "persons_max": 20} | changes
    return OpenPoseDecoder(
        layout="NHWC",
        stride=STRIDE,
        person_score_min=bounds["person_score_min"],
        persons_max=int(bounds["persons_max"]),
    )


def points_of(cells: Floats, seen: Flags, limb: tuple[int, int]) -> Floats:
    """Points of a limb as far as it is seen: of the line between its ends, of the one end, or none."""
    ends = cells[[end for end in limb if seen[end]]]
    return np.asarray(ends[0] + (ends[1] - ends[0]) * np.linspace(0, 1, 40)[:, None] if len(ends) == 2 else ends)


def touching(one: tuple[Floats, Flags], other: tuple[Floats, Flags], limb: tuple[int, int]) -> bool:
    """Whether the fields of a limb of two people share a cell, where the mean of both belongs to neither.

    Also whether a joint whose partner is unseen lies in the other's field: the field ends there as well as at its own.
    """
    points, others = points_of(*one, limb), points_of(*other, limb)
    if not len(points) or not len(others) or len(points) + len(others) == 2:
        return False
    gap = points[:, None] - others
    return bool(np.hypot(gap[..., 0], gap[..., 1]).min() <= 2 * REACH + 1)


def connected(seen: Flags) -> Flags:
    """The largest group of joints that limbs join: nothing in the fields tells whose the other pieces are."""
    best: set[int] = set()
    for joint in np.flatnonzero(seen):
        group: set[int] = set()
        ahead = {int(joint)}
        while ahead:
            group |= ahead
            reached = {end for limb in LIMBS if ahead & set(limb) for end in limb}
            ahead = {end for end in reached if seen[end]} - group
        best = max(best, group, key=len)
    return np.isin(np.arange(JOINTS), list(best))


def distinct(person: Floats, seen: Flags, before: list[tuple[Floats, Flags]]) -> Flags:
    """What of ``seen`` can be told apart from the people drawn before, by any decoder."""
    cells, seen = to_cells(person), seen.copy()
    for first, second in LIMBS:
        # A field as short as it is wide has no direction to follow.
        if np.hypot(*(cells[first] - cells[second])) < 2 * REACH:
            seen[second] = False
    others = [(to_cells(drawn), theirs) for drawn, theirs in before]
    for drawn, theirs in others:
        seen &= ~((np.abs(cells - drawn).max(axis=1) < APART) & theirs)
    while clashing := [limb for limb in LIMBS for other in others if touching((cells, seen), other, limb)]:
        first, second = clashing[0]
        seen[second if seen[second] else first] = False
    return connected(seen)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Floats, Flags]:
    """1-12 random skeletons, overlapping and cut by the borders, with missing joints."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    wanted, share = draw(st.integers(1, 12)), draw(st.floats(0.7, 1.0))
    crowd: list[tuple[Floats, Flags]] = []
    while len(crowd) < wanted:
        person = draw_person(random, HEIGHT, WIDTH)
        inside = ((person >= 0) & (person < (WIDTH, HEIGHT))).all(axis=1)
        seen = distinct(person, inside & (random.random(JOINTS) < share), crowd)
        if seen[list(COCO)].sum() >= JOINTS_MIN:
            crowd.append((person, seen))
        elif crowd:
            wanted -= 1  # no room left for somebody who can be told apart
    return np.stack([person for person, _ in crowd]), np.stack([seen for _, seen in crowd])


@given(crowds())
def test_every_drawn_skeleton_is_decoded_within_one_cell(crowd: tuple[Floats, Flags]) -> None:
    """Up to twelve people, overlapping, cut by borders and with missing joints, come back within one cell."""
    people, seen = crowd
    poses = decoder().decode(draw_fields(people, seen, HEIGHT, WIDTH), IDENTITY)

    assert len(poses) == len(people)
    expected, visible = people[:, COCO], seen[:, COCO]
    found = poses.keypoints[..., 2] > 0
    distance = np.abs(poses.keypoints[:, None, :, :2] - expected[None]).max(axis=-1)  # decoded, drawn, joint
    distance = np.where(visible[None] | found[:, None], distance, 0)
    distance[visible[None] != found[:, None]] = np.inf
    worst = distance.max(axis=-1)
    nearest = worst.argmin(axis=0)
    assert sorted(nearest) == list(range(len(people))), "two drawn people decode to one"
    assert worst[nearest, range(len(people))].max() <= STRIDE
    assert (poses.keypoints[..., 2][found] > 0.5).all()
    assert (poses.keypoints[~found] == 0).all(), "an unseen joint is 0, 0, 0"


@given(crowds())
def test_layouts_agree(crowd: tuple[Floats, Flags]) -> None:
    """The same network with its channels second gives the same poses."""
    heatmaps, affinity = draw_fields(*crowd, HEIGHT, WIDTH)
    last = decoder().decode((heatmaps, affinity), IDENTITY)
    first = OpenPoseDecoder(layout="NCHW", stride=STRIDE, person_score_min=0.05, persons_max=20).decode(
        (heatmaps.transpose(0, 3, 1, 2).copy(), affinity.transpose(0, 3, 1, 2).copy()), IDENTITY
    )
    np.testing.assert_array_equal(first.keypoints, last.keypoints)
    np.testing.assert_array_equal(first.boxes, last.boxes)
    np.testing.assert_array_equal(first.scores, last.scores)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.5, 3.0]), st.integers(1, 9), st.integers(1, 9))
def test_whatever_the_network_says_is_bounded(seed: int, scale: float, rows: int, columns: int) -> None:
    """Noise of any strength gives scores of 0..1, best first, in boxes that hold their joints."""
    random = np.random.default_rng(seed)
    heatmaps = random.normal(0.2, scale, (1, rows, columns, 19)).astype(np.float32)
    affinity = random.normal(0.2, scale, (1, rows, columns, 38)).astype(np.float32)
    poses = decoder(person_score_min=0.0, persons_max=50).decode((heatmaps, affinity), IDENTITY)
    for scores in (poses.scores, poses.keypoints[..., 2]):
        assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(poses.scores) <= 0).all()
    for joints, (x, y, width, height) in zip(poses.keypoints, poses.boxes, strict=True):
        seen = joints[joints[:, 2] > 0]
        assert len(seen) >= JOINTS_MIN
        np.testing.assert_allclose(seen[:, :2].min(axis=0), (x, y), atol=1e-3)
        np.testing.assert_allclose(seen[:, :2].max(axis=0), (x + width, y + height), atol=1e-3)


def test_noise_costs_bounded_memory() -> None:
    """However many maxima a heatmap has, at most PEAKS_MAX of a joint are joined with others."""
    random = np.random.default_rng(1)
    heatmaps = random.random((1, 136, 240, 19), np.float32)
    poses = decoder(persons_max=200).decode((heatmaps, np.ones((1, 136, 240, 38), np.float32)), IDENTITY)
    assert 0 < len(poses) <= PEAKS_MAX * JOINTS / JOINTS_MIN


def test_nobody_in_view_is_an_empty_result() -> None:
    """Maps without a peak give no person, not an error."""
    nothing = draw_fields(np.zeros((0, JOINTS, 2), np.float32), np.zeros((0, JOINTS), bool), HEIGHT, WIDTH)
    assert len(decoder().decode(nothing, IDENTITY)) == 0


def test_joints_without_fields_are_nobody() -> None:
    """Peaks that no field joins are no person: joints alone do not say whose they are."""
    person = draw_person(np.random.default_rng(3), HEIGHT, WIDTH, hanging_out=0)
    heatmaps, affinity = draw_fields(person[None], np.ones((1, JOINTS), bool), HEIGHT, WIDTH)
    assert len(decoder().decode((heatmaps, affinity), IDENTITY)) == 1
    assert len(decoder().decode((heatmaps, np.zeros_like(affinity)), IDENTITY)) == 0
    assert len(decoder().decode((heatmaps, -affinity), IDENTITY)) == 0


def test_one_maximum_on_a_border_of_cells() -> None:
    """A joint exactly between two cells is one joint, on their border."""
    person = (np.round(grid(1)[0] / STRIDE) * STRIDE - np.float32(0.5)).astype(np.float32)
    poses = decoder().decode(draw_fields(person[None], np.ones((1, JOINTS), bool), HEIGHT, WIDTH), IDENTITY)
    assert len(poses) == 1
    np.testing.assert_allclose(poses.keypoints[0, :, :2], person[list(COCO)], atol=0.01)


def peaks_of(*joints: int) -> Peaks:
    zeros = np.zeros(len(joints), np.float32)
    return Peaks(np.array(joints, np.intp), zeros, zeros, zeros + 1)


def limbs_of(*limbs: tuple[int, int, int]) -> Limbs:
    return Limbs(*np.array(limbs, np.intp).T)


def test_a_person_has_each_joint_once() -> None:
    """A limb that would give somebody a second neck is refused; the better people it would have joined stay."""
    peaks = peaks_of(1, 2, 3, 4, 1, 5, 6, 7, 2)
    shoulder, ear = LIMBS.index((1, 2)), LIMBS.index((2, 16))
    right = (shoulder, 0, 1), (LIMBS.index((2, 3)), 1, 2), (LIMBS.index((3, 4)), 2, 3)
    left = (LIMBS.index((1, 5)), 4, 5), (LIMBS.index((5, 6)), 5, 6), (LIMBS.index((6, 7)), 6, 7)
    # From the second neck to the taken shoulder, from the first neck to a second shoulder, between the two people.
    for wrong in ((shoulder, 4, 1), (shoulder, 0, 8), (ear, 1, 5)):
        people = assemble(peaks, limbs_of(*right, *left, wrong))
        assert {tuple(sorted(person[person >= 0].tolist())) for person in people} == {(0, 1, 2, 3), (4, 5, 6, 7)}


def test_redundant_limbs_extend_but_never_begin() -> None:
    """An ear joins somebody by their shoulder; an ear and a shoulder alone are the start of nobody."""
    peaks = peaks_of(5, 6, 7, 17, 15, 0)
    arm = ((LIMBS.index((5, 6)), 0, 1), (LIMBS.index((6, 7)), 1, 2))
    ear = (LIMBS.index((5, 17)), 0, 3)
    (person,) = assemble(peaks, limbs_of(*arm, ear))
    assert person[17] == 3
    assert len(assemble(peaks_of(5, 17, 5), limbs_of((ear[0], 0, 1)))) == 0


@pytest.mark.parametrize(("holes", "found"), [((), 1), ((2,), 1), ((2, 4), 1), ((2, 4, 7), 0), ((1, 5, 8), 0)])
def test_a_limb_needs_eight_of_ten_points(holes: tuple[int, ...], found: int) -> None:
    """A field may fail at two of a limb's ten points, wherever they are, not at three."""
    fields = np.zeros((len(LIMBS), 3, 40, 2), np.float32)
    fields[..., 0] = 1
    for hole in holes:
        fields[:, :, 3 * hole : 3 * hole + 1] = 0
    neck, hip = LIMBS[0]
    row = np.ones(2, np.float32)
    peaks = Peaks(np.array((neck, hip), np.intp), np.array((0, 27), np.float32), row, row)
    assert len(find_limbs(peaks, fields).kind) == found


def grid(count: int) -> NDArray[np.float32]:
    """People side by side."""
    person = draw_person(np.random.default_rng(3), HEIGHT, WIDTH, hanging_out=0)
    small = (person - person.min(axis=0)) / np.ptp(person, axis=0) * (100, 300)
    corners = np.array([(20 + 140 * index, 30) for index in range(count)])
    return np.asarray(small + corners[:, None], np.float32)


def test_persons_max_keeps_the_best_and_the_threshold_the_good() -> None:
    """With more people than persons_max the lowest scores go; person_score_min bounds every score from below."""
    people = grid(3)
    heatmaps, affinity = draw_fields(people, np.ones((3, JOINTS), bool), HEIGHT, 448)
    heatmaps[:, :, :20] *= 0.3
    heatmaps[:, :, 37:] *= 0.6
    best = decoder(persons_max=1).decode((heatmaps, affinity), IDENTITY)
    assert len(best) == 1
    assert 160 < best.boxes[0, 0] < 290
    for threshold, count in ((0.05, 3), (0.4, 2), (0.8, 1), (1.0, 0)):
        poses = decoder(person_score_min=threshold).decode((heatmaps, affinity), IDENTITY)
        assert len(poses) == count
        assert (poses.scores >= threshold).all()


@pytest.mark.parametrize("name", [NETWORK, "human-pose-estimation-0001"])
def test_both_networks_of_the_family_have_this_decoder(name: str) -> None:
    """The cards tell all that differs: layout, stride, and which output plays which role."""
    card = catalogue.network(name)
    made = decoder_for(card, person_score_min=0.05, persons_max=20)
    assert isinstance(made, OpenPoseDecoder)
    assert {role: card.decoder.heads[role].channels for role in made.roles} == {"heatmaps": 19, "affinity": 38}
    maps = draw_fields(grid(2), np.ones((2, JOINTS), bool), HEIGHT, WIDTH)
    if card.input.layout == "NCHW":
        maps = (maps[0].transpose(0, 3, 1, 2).copy(), maps[1].transpose(0, 3, 1, 2).copy())
    assert len(made.decode(maps, IDENTITY)) == 2


def test_accuracy_on_pictures(openpose_store: Store, shared_data: Path) -> None:
    """On coco-mini at 368x432 the study's network is better than with the reference's grouping (AP 0.344)."""
    found = evaluate(
        NETWORK,
        openpose_store,
        precision="FP32",
        device="CPU",
        size=InputSize(height=HEIGHT, width=WIDTH),
        images=shared_data / "coco-mini",
        annotations=shared_data / "coco-mini" / "person_keypoints.json",
    )
    assert found.ap >= 0.35
