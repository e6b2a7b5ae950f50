"""Streets of many characters: what is left out, what lines the sides, how the camera looks and how light it is."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest

from contextnet.data.synthetic import Drive, StreetFrame
from contextnet.data.synthetic.character import BUSY, Character, Edge, Thinning, character_for
from contextnet.data.synthetic.ids import LABEL_ID
from contextnet.data.synthetic.light import light_for
from contextnet.data.synthetic.path import path_for
from contextnet.data.synthetic.plan import Surface, plan_for

SMALL = (100, 160)
SEEDS = range(24)


@pytest.fixture(scope="module")
def frames() -> list[StreetFrame]:
    return [Drive(seed, SMALL, 1, 1.0, varied=True).frame(0) for seed in SEEDS]


def share(frame: StreetFrame, *names: str) -> float:
    return float(np.isin(frame.label_ids, [LABEL_ID[name] for name in names]).mean())


def test_a_varied_frame_is_a_pure_function_of_its_seed(frames: list[StreetFrame]) -> None:
    again: Drive = pickle.loads(pickle.dumps(Drive(5, SMALL, 1, 1.0, varied=True)))
    np.testing.assert_array_equal(again.frame(0).image, frames[5].image)
    np.testing.assert_array_equal(again.frame(0).instance_ids, frames[5].instance_ids)
    assert (Drive(5, SMALL, 1, 1.0).frame(0).image != frames[5].image).any()


def test_some_streets_lack_what_every_busy_one_shows(frames: list[StreetFrame]) -> None:
    for name in ("person", "rider", "train", "truck", "traffic light"):
        held = [share(frame, name) > 0 for frame in frames]
        assert not all(held), name
    for name in ("person", "car", "building", "vegetation", "pole", "traffic sign", "sidewalk", "road", "sky"):
        assert sum(share(frame, name) > 0 for frame in frames) > len(frames) / 2, name


def test_streets_differ_in_light_and_layout_more_than_busy_ones(frames: list[StreetFrame]) -> None:
    busy = [Drive(seed, SMALL, 1, 1.0).frame(0) for seed in SEEDS]
    for name in ("building", "road"):
        varied_spread, busy_spread = (np.std([share(f, name) for f in these]) for these in (frames, busy))
        assert varied_spread > 1.2 * busy_spread, name
    ground = [f.image[f.label_ids == LABEL_ID["road"]].mean() for f in frames]
    assert max(ground) > 2.0 * min(ground)


def test_ground_truths_agree_in_varied_streets(frames: list[StreetFrame]) -> None:
    for frame in frames:
        single = frame.instance_ids >= 1000
        np.testing.assert_array_equal(frame.instance_ids[single] // 1000, frame.label_ids[single])
        assert np.isinf(frame.depth_m[frame.label_ids == LABEL_ID["sky"]]).all()
        assert np.isfinite(frame.depth_m[frame.label_ids != LABEL_ID["sky"]]).all()


def test_thinning_keeps_the_share_that_the_character_says() -> None:
    character = replace(BUSY, people=0.25, furniture=0.5, traffic=0.5, large_vehicles=0.2, trees=0.0)
    thinning = Thinning(np.random.default_rng(0), character)

    def kept(*ids: int) -> float:
        return sum(thinning.keeps(ids) for _ in range(4000)) / 4000

    assert kept(LABEL_ID["person"] * 1000 + 7) == pytest.approx(0.25, abs=0.03)
    assert kept(LABEL_ID["pole"], LABEL_ID["traffic sign"]) == pytest.approx(0.5, abs=0.03)
    assert kept(LABEL_ID["bus"] * 1000) == pytest.approx(0.1, abs=0.02)
    assert kept(LABEL_ID["vegetation"]) == 0
    assert kept(LABEL_ID["building"]) == kept(LABEL_ID["rider"] * 1000) == 1


def test_thinning_a_busy_street_draws_no_random_number() -> None:
    rng = np.random.default_rng(0)
    thinning = Thinning(rng, BUSY)
    assert all(thinning.keeps((LABEL_ID[name],)) for name in ("person", "car", "vegetation", "pole"))
    assert rng.random() == np.random.default_rng(0).random()


def test_the_plan_follows_the_character() -> None:
    character = replace(BUSY, green=False, tram=False, breadth=1.5, pavement=0.5, right=Edge.CAR_PARK)
    plain, drawn = (plan_for(np.random.default_rng(4), 50.0, kind) for kind in (BUSY, character))
    assert plain.left.track_m is not None
    assert drawn.left.track_m is None
    assert drawn.left.lawn is drawn.right.lawn is drawn.left.garden is drawn.right.garden is None
    assert drawn.right.lane_m == pytest.approx(1.5 * plain.right.lane_m)
    assert drawn.strips[-1].surface == Surface.ASPHALT
    left = [strip for strip in drawn.strips if strip.end_m <= 0]
    assert left[-1].surface == Surface.GRASS


def test_the_camera_and_the_light_follow_the_character() -> None:
    bend = plan_for(np.random.default_rng(4), 50.0, BUSY).bend
    character = replace(BUSY, aside_rad=0.3, down_rad=-0.02, lift_m=0.5, start_m=40.0, dimness=0.5, exposure=1.6)
    plain, drawn = (path_for(np.random.default_rng(1), bend, 1.5, kind) for kind in (BUSY, character))
    assert drawn.pose(0.0).z_m == pytest.approx(40.0)
    assert drawn.pose(1.0).y_m == pytest.approx(plain.pose(1.0).y_m + 0.5)
    assert drawn.pose(1.0).pitch_rad == pytest.approx(plain.pose(1.0).pitch_rad - 0.02)
    turned = drawn.pose(0.0).yaw_rad - bend.heading(46.0) - (plain.pose(0.0).yaw_rad - bend.heading(6.0))
    assert turned == pytest.approx(0.3)
    plain_light, light = (light_for(np.random.default_rng(1), kind) for kind in (BUSY, character))
    assert light.factors(3) == pytest.approx([0.5 * factor for factor in plain_light.factors(3)])
    assert (light.horizon, light.exposure) == (plain_light.horizon, 1.6)


def test_characters_stay_within_their_ranges_and_use_them() -> None:
    drawn = [character_for(np.random.default_rng(seed)) for seed in range(300)]
    for name in ("traffic", "large_vehicles", "cycles", "people", "trees", "furniture", "bare"):
        values = [getattr(character, name) for character in drawn]
        assert min(values) >= 0, name
        assert max(values) <= 1, name
        assert min(values) < 0.2 < 0.8 < max(values), name
    assert {character.left for character in drawn} == {character.right for character in drawn} == set(Edge)
    assert len({tuple(getattr(c, f.name) for f in fields(Character)) for c in drawn}) == len(drawn)
