from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from contextnet.errors import ContextNetError, DataError
from contextnet.evaluation.evaluator import evaluate
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import Weights, read_weights, write_weights
from contextnet.reproduce.accuracy import Result
from contextnet.reproduce.results_page import keep_table
from contextnet.reproduce.targets import TARGETS, Product, Reproducer, Request
from contextnet.reproduce.trainings import Trained, Trainings, subject_of
from contextnet.runtime.segmenter import EngineChoice
from contextnet.spec import variant
from given_results import FACTS, result, speed, speed_run, untrained
from lively_networks import lively_network
from tiny_trainings import no_bar, trainings
from training_data import LABELS, write_pairs

SMALL = (64, 128)


def reproducer(
    *data: Trainings,
    sizes: tuple[tuple[int, int], ...] = (SMALL,),
    images: tuple[str, ...] = (),
    weights: str | None = None,
    results: tuple[Result, ...] = (),
) -> Reproducer:
    """A reproducer that has the results of some trainings on the first data set already."""
    request = Request(data, sizes, EngineChoice("openvino", "cpu", "fp32"), images, weights, "contextnet …", no_bar)
    return Reproducer(request, {(data[0].source, one.network): one for one in results})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "data", train=2, val=2)
    return tmp_path


@pytest.fixture
def blocks_weights(tmp_path: Path) -> Path:
    """Weights with the three classes of the pairs."""
    spec = variant("cn14", 3, width=0.25)
    path = tmp_path / "blocks.safetensors"
    write_weights(path, Weights(spec, LABELS, lively_network(spec).state_dict()))
    return path


def trained(network: str, weights: Path) -> Result:
    return Result(network, Trained(subject_of(network), weights, None, 1.0), result(network, {"a": 0.5}).scores)


def test_everything_has_a_name() -> None:
    tables = [f"table{number}" for number in range(1, 8)]
    assert sorted(TARGETS) == sorted([*tables, "figure2", "ensemble", "pruning", "all"])


def test_layers_are_those_at_the_first_size() -> None:
    (made,) = reproducer(sizes=((512, 1024), (64, 128))).make("table2")
    assert made.stem == "table2"
    assert made.table.facts["command"] == "contextnet …"
    assert made.table.rows[0].values["input"] == "128 × 256 × 3"


@pytest.mark.parametrize("name", ["table4", "table5", "table6", "ensemble", "pruning", "all"])
def test_what_is_trained_needs_data(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contextnet.reproduce.targets.measure_speeds", lambda *_: pytest.fail("timed before"))
    with pytest.raises(ContextNetError, match="networks are trained for this; give --data KIND:ROOT"):
        list(reproducer().make(name))


@pytest.mark.parametrize(("device", "ending"), [("cpu", ""), ("NVIDIA H200", "-nvidia-h200-openvino-fp32")])
def test_table7_is_made_at_every_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, ending: str
) -> None:
    run = partial(speed_run, speed("cn14", 2), device=device)
    monkeypatch.setattr("contextnet.reproduce.targets.measure_speeds", lambda _, size_hw, *__: run(size_hw=size_hw))
    made = list(reproducer(sizes=((64, 128), (512, 1024))).make("table7"))
    assert [one.stem for one in made] == [f"table7-64x128{ending}", f"table7-512x1024{ending}"]
    for one in made:
        keep_table(tmp_path, one.table, one.stem)
        assert ("NVIDIA H200" in one.table.title) == (device != "cpu"), "pages have both"


def test_table4_says_what_cannot_be_timed_before_it_trains(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ContextNetError("no engine")

    monkeypatch.setattr("contextnet.reproduce.targets.measure_speeds", refuse)
    with pytest.raises(ContextNetError, match="no engine"):
        list(reproducer(trainings(place, 1)).make("table4"))
    assert not (place / "runs").exists()


def test_tables_of_two_data_sets_share_the_rates(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []

    def measured(networks: tuple[str, ...], size_hw: tuple[int, int], *_: object) -> object:
        sizes.append(size_hw)
        return speed_run(*(speed(network, 4) for network in networks))

    monkeypatch.setattr("contextnet.reproduce.targets.measure_speeds", measured)
    monkeypatch.setattr(Trainings, "train", lambda self, subject: Trained(subject, None, None, None, "too large"))
    streets = trainings(place, 2, "seed=5", source="synthetic:64x128,drives=1,frames=1")
    made = list(reproducer(trainings(place, 2), streets).make("table4"))
    assert [one.stem for one in made] == ["table4-folder-data", "table4-synthetic-64x128-drives-1-frames-1"]
    assert sizes == [SMALL]
    facts = made[1].table.facts
    assert (facts["data"], facts["recipe"]) == ("synthetic/val", "plain-synthetic")
    assert (facts["budget_minutes"], facts["changes"][-1]) == (2, "seed=5")
    assert [row.values["fps"] for row in made[0].table.rows if row.source == "here"] == [250.0] * 6
    assert made[0].table.rows[0].remark == "too large"
    json.dumps(made[1].table.to_json(), allow_nan=False)


def test_a_network_is_trained_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def train(self: Trainings, subject: object) -> Trained:
        asked.append(subject.key)  # type: ignore[attr-defined]
        return Trained(subject_of("cn14"), None, None, None, "too large")

    monkeypatch.setattr(Trainings, "train", train)
    shop = reproducer(trainings(place, 1))
    assert len([*shop.make("table5"), *shop.make("table6"), *shop.make("ensemble")]) == 3
    assert len(asked) == len(set(asked)) == 6 + 8 + 2


def test_the_ensemble_is_scored_on_the_same_images(place: Path, blocks_weights: Path) -> None:
    # The average of a network with itself is the network.
    members = [trained(name, blocks_weights) for name in ("cn14-context", "cn14-detail")]
    (made,) = reproducer(trainings(place, 1), results=(*members, untrained("cn14"))).make("ensemble")
    data = trainings(place, 1).open_validation()
    alone = evaluate(NetworkPredictor(read_weights(blocks_weights).build()), data).scores.miou
    assert made.stem == "ensemble-folder-data"
    (row,) = (row for row in made.table.rows if (row.network, row.source) == ("ensemble", "here"))
    assert row.values["miou"] == pytest.approx(100 * alone)


def test_an_ensemble_lacks_a_branch_that_was_not_trained(place: Path, blocks_weights: Path) -> None:
    results = (trained("cn14-context", blocks_weights), untrained("cn14-detail"), untrained("cn14"))
    (made,) = reproducer(trainings(place, 1), results=results).make("ensemble")
    assert [row.remark for row in made.table.rows[1:3]] == [
        "not trained: one epoch takes 9.0 minutes here",
        "not made: it needs both branches",
    ]


def figure2(shop: Reproducer) -> Product:
    (made,) = shop.make("figure2")
    assert made.figure is not None
    return made


def test_figure2_of_files(place: Path, blocks_weights: Path) -> None:
    images = tuple(str(place / "data" / "val" / "images" / f"{index}.png") for index in range(2))
    made = figure2(reproducer(images=images, weights=str(blocks_weights)))
    assert (made.stem, made.table.rows, made.table.title) == (
        "figure2",
        (),
        "Figure 2: what each branch contributes",
    )
    assert made.table.facts["figure"]["network"] == "cn14-x0.25"
    assert "on 0.png, 1.png" in made.table.notes[0]


def test_figure2_of_data(place: Path, blocks_weights: Path) -> None:
    made = figure2(reproducer(trainings(place, 1), weights=str(blocks_weights), images=("1",)))
    assert made.stem == "figure2-folder-data"
    assert [row.network for row in made.table.rows] == ["context branch only", "detail branch only", "both branches"]
    assert "on 1.png" in made.table.notes[0]
    json.dumps(made.table.to_json(), allow_nan=False)
    by_name = figure2(reproducer(trainings(place, 1), weights=str(blocks_weights), images=("1.png",)))
    assert by_name.table.to_json() == made.table.to_json()


def test_figure2_trains_where_no_shipped_network_has_the_classes(place: Path, blocks_weights: Path) -> None:
    made = figure2(reproducer(trainings(place, 1), results=(trained("cn14", blocks_weights),)))
    assert made.table.facts["figure"]["network"] == "cn14-x0.25"
    with pytest.raises(ContextNetError, match=r"cn14: not trained: .*; give a longer --budget, or --weights"):
        figure2(reproducer(trainings(place, 1), results=(untrained("cn14"),)))


def test_figure2_takes_the_shipped_network_of_the_data(place: Path) -> None:
    streets = trainings(place, 1, source="synthetic:64x128,drives=1,frames=1")
    made = figure2(reproducer(streets))
    assert made.table.facts["figure"]["network"] == "cn14"
    assert made.table.facts["figure"]["trained_on"] == "synthetic/train"
    assert "'cn14', trained on synthetic/train, on " in made.table.notes[0]
    assert len(made.table.facts["figure"]["images"]) == 1
    assert not (place / "runs").exists()


def test_figure2_takes_no_network_of_other_data(
    place: Path, blocks_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same classes are not enough: those of Cityscapes are those of the drawn streets.
    monkeypatch.setattr("contextnet.reproduce.targets.SHIPPED", {"synthetic": str(blocks_weights)})
    made = figure2(reproducer(trainings(place, 1), results=(trained("cn14", blocks_weights),)))
    assert made.table.facts["figure"]["network"] == "cn14-x0.25"
    with pytest.raises(ContextNetError, match=r"cn14: not trained"):
        figure2(reproducer(trainings(place, 1), results=(untrained("cn14"),)))


def test_images_of_one_name_are_told_apart(place: Path, blocks_weights: Path) -> None:
    other = place / "other" / "0.png"
    other.parent.mkdir()
    first = place / "data" / "val" / "images" / "0.png"
    other.write_bytes(first.read_bytes())
    made = figure2(reproducer(images=(str(first), str(other)), weights=str(blocks_weights)))
    assert "on images/0.png, other/0.png." in made.table.notes[0]


def test_all_is_made_in_order_and_what_fails_is_told_at_the_end(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(networks: tuple[str, ...], size_hw: tuple[int, int], *_: object) -> object:
        return speed_run(*(speed(network, 4) for network in networks), size_hw=size_hw)

    monkeypatch.setattr("contextnet.reproduce.targets.measure_speeds", measured)
    monkeypatch.setattr(Trainings, "train", lambda self, subject: Trained(subject, None, None, None, "too large"))
    stems: list[str] = []

    def make() -> None:
        for one in reproducer(trainings(place, 1)).make("all"):
            stems.append(one.stem)

    with pytest.raises(ContextNetError, match=r"^not all was made; figure2: cn14: too large; give a longer --budget"):
        make()
    data = "folder-data"
    layers = ["table1", "table2", "table3"]
    assert stems == [
        *(*layers, "table7-64x128", f"table5-{data}", f"table4-{data}"),
        *(f"ensemble-{data}", f"table6-{data}", f"pruning-{data}"),
    ]


@pytest.mark.parametrize(
    ("images", "weights", "error", "complaint"),
    [
        (("7",), None, DataError, "there is no image 7"),
        (("nowhere",), None, DataError, "nowhere"),
        ((), "cn14-camvid", DataError, "labels the 11 classes of 'camvid'"),
        ((), "nowhere", ContextNetError, "neither a file nor a shipped network"),
    ],
)
def test_figure2_that_cannot_be_drawn(
    place: Path, images: tuple[str, ...], weights: str | None, error: type[Exception], complaint: str
) -> None:
    streets = trainings(place, 1, source="synthetic:64x128,drives=1,frames=1")
    with pytest.raises(error, match=complaint):
        figure2(reproducer(streets, images=images, weights=weights))
    with pytest.raises(ContextNetError, match="figure2 shows images; give --data KIND:ROOT, or --image FILE"):
        figure2(reproducer())


def test_facts_say_what_was_trained_on(place: Path) -> None:
    facts = reproducer().facts(trainings(place, 2.0))
    assert {key: facts[key] for key in ("data", "recipe", "budget_minutes")} == {
        key: {**FACTS, "data": "blocks/val"}[key] for key in ("data", "recipe", "budget_minutes")
    }
