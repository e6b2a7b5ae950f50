"""Streets of many characters: what is left out, what lines the sides, how the camera looks and how light it is."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from contextnet.data.synthetic import Drive, StreetFrame
from contextnet.data.synthetic.bodies import Flat
from contextnet.data.synthetic.camera import Camera
from contextnet.data.synthetic.character import BUSY, Character, Edge, Thinning, character_for
from contextnet.data.synthetic.ids import LABEL_ID, label_of
from contextnet.data.synthetic.light import light_for
from contextnet.data.synthetic.path import path_for
from contextnet.data.synthetic.plan import Surface, plan_for
from contextnet.data.synthetic.scene import World
from contextnet.data.synthetic.world import Street, scene_for, street_for

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


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("traffic", 0, 1),
        ("large_vehicles", 0, 1),
        ("cycles", 0, 1),
        ("people", 0, 1),
        ("trees", 0, 1),
        ("furniture", 0, 1),
        ("bare", 0, 1),
        ("breadth", 0.9, 1.6),
        ("pavement", 0.4, 1.1),
        ("aside_rad", -0.7, 0.7),
        ("down_rad", -0.06, 0.05),
        ("lift_m", -0.1, 0.6),
        ("start_m", 0, 70),
        ("zoom", 0.75, 1.2),
        ("dimness", 0.4, 1.05),
        ("exposure", 0.95, 2.3),
    ],
)
def test_characters_stay_within_their_ranges_and_use_them(name: str, least: float, most: float) -> None:
    values = [getattr(character_for(np.random.default_rng(seed)), name) for seed in range(300)]
    assert least <= min(values) < least + 0.25 * (most - least)
    assert most >= max(values) > most - 0.25 * (most - least)


def test_sides_are_lined_with_all_that_there_is() -> None:
    drawn = [character_for(np.random.default_rng(seed)) for seed in range(300)]
    assert {character.left for character in drawn} == {character.right for character in drawn} == set(Edge)


def furnished(monkeypatch: pytest.MonkeyPatch, character: Character) -> tuple[Street, World]:
    """Draw street 3 with a character of choice."""
    monkeypatch.setattr("contextnet.data.synthetic.world.character_for", lambda rng: character)
    street = street_for(3, 1.0, varied=True)
    return street, scene_for(street, Camera(SMALL, 200.0)).world


def places(world: World, name: str) -> list[tuple[float, float]]:
    """Along and across, in metres, of the movers of a class when the film begins."""
    return [(t.track.along_m, t.track.across_m) for t in world.movers if label_of(t.ids[0]) == LABEL_ID[name]]


def houses(world: World, sign: int) -> int:
    """Count the surfaces of buildings within 80 m of the street's beginning, of those that stand along it."""
    ids = {LABEL_ID["building"]}
    return sum(
        {*q.ids} == ids and sign * q.origin[0] > 0 and q.origin[2] < 80 and q.across[2] != 0 for q in world.fixed
    )


def test_open_sides_have_no_houses_in_front_and_a_car_park_has_cars(monkeypatch: pytest.MonkeyPatch) -> None:
    _, lined = furnished(monkeypatch, BUSY)
    street, opened = furnished(monkeypatch, replace(BUSY, left=Edge.GREEN, right=Edge.CAR_PARK))
    assert houses(opened, -1) < houses(lined, -1) / 2
    assert houses(opened, 1) < houses(lined, 1) / 2
    beyond = street.plan.right.house_m
    assert sum(across > beyond for _, across in places(opened, "car")) > 20
    assert not any(across < -street.plan.left.house_m for _, across in places(opened, "car"))
    assert sum(across > beyond for _, across in places(lined, "car")) == 0


def test_traffic_ahead_begins_where_the_camera_does(monkeypatch: pytest.MonkeyPatch) -> None:
    street, world = furnished(monkeypatch, replace(BUSY, start_m=50.0))
    lane = street.plan.right.lane_m
    ahead = [along for along, across in places(world, "car") if abs(across - lane) < 0.25]
    assert min(ahead) > 50 + 17
    assert min(ahead) < 50 + 80


def test_zoom_and_bare_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = furnished(monkeypatch, BUSY)
    drawn, world = furnished(monkeypatch, replace(BUSY, zoom=1.2, bare=1.0))
    assert drawn.zoom == pytest.approx(1.2 * plain.zoom)
    trees = [t.body.look(0.0, 0.0) for t in world.flats if isinstance(t.body, Flat) and t.body.height_m > 5]
    assert len(trees) > 5
    assert all(texture.codes is not None for texture in trees)
