from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from contextnet.errors import ContextNetError
from contextnet.models.cost import measure_cost
from contextnet.network_spec import named_spec
from contextnet.reproduce.speed import WAYS, measure_speeds
from contextnet.reproduce.speed_tables import COMPARED, table7
from contextnet.reproduce.table import Row, Table
from contextnet.runtime.segmenter import EngineChoice
from given_results import speed, speed_run
from tiny_trainings import no_bar

SMALL = (64, 128)


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here is about how well is measured."""
    monkeypatch.setattr("contextnet.reproduce.speed.TURN_S", 0.01)
    for watch in ("await_quiet", "others_share"):
        monkeypatch.setattr(f"contextnet.benchmark.noise.{watch}", lambda: 0.0)


def row_of(table: Table, network: str) -> Row:
    (found,) = (row for row in table.rows if (row.network, row.source) == (network, "here"))
    return found


def test_ratios_are_medians_over_the_rounds() -> None:
    run = speed_run(speed("enet", 40, 40, 20), speed("cn14", 10, 20, 10), size_hw=(1024, 2048))
    table = table7(run, "contextnet reproduce table7")
    assert [row.network for row in table.rows if row.source == "here"] == ["cn14", "enet"], "the order of the paper"
    # enet over cn14, round by round: 4, 2, 2; frames a second of the median of each
    assert row_of(table, "enet").values == {
        "everything_fps": 25,
        "network_fps": 50,
        "pipelined_fps": 100,
        "cn14_times_as_fast": pytest.approx(2),
        "latency_ms": pytest.approx(40),
        "parameters": 1_234_567,
        "gmacs": 2.5,
    }
    assert row_of(table, "cn14").values["cn14_times_as_fast"] == 1
    paper = [(row.network, dict(row.values), row.remark) for row in table.rows if row.source == "paper"]
    assert paper == [
        ("segnet", {"everything_fps": 1.6}, "*"),
        ("enet", {"everything_fps": 20.4}, "*"),
        ("icnet", {"everything_fps": 14.2}, ""),
        ("erfnet", {"everything_fps": 11.2}, "*"),
        ("cn14", {"everything_fps": 18.3}, ""),
        ("cn14", {"network_fps": 41.9}, "†"),
    ]
    assert "Titan X" in table.notes[-1]
    assert table.facts["size_hw"] == [1024, 2048]
    assert table.facts["in_flight"] == 3
    assert "with 3 images on their way" in table.notes[0]
    assert Table.from_json(json.loads(json.dumps(table.to_json()))).to_json() == table.to_json()


@pytest.mark.parametrize(("size_hw", "papers"), [((512, 1024), 5), ((256, 512), 5), ((64, 128), 0)])
def test_the_paper_is_beside_its_own_sizes(size_hw: tuple[int, int], papers: int) -> None:
    table = table7(speed_run(speed("cn14", 1), size_hw=size_hw), "")
    assert len([row for row in table.rows if row.source == "paper"]) == papers
    assert any("Titan X" in note for note in table.notes) == bool(papers)


@pytest.mark.parametrize(("slowest_ms", "shown"), [(9000.0, ["10.00", "0.11"]), (1000.0, ["10.0", "1.0"])])
def test_rates_below_one_a_second_keep_two_digits(slowest_ms: float, shown: list[str]) -> None:
    table = table7(speed_run(speed("cn14", 100), speed("pspnet", slowest_ms), size_hw=(64, 128)), "")
    everything, *others = (column for column in table.columns if column.key.endswith("_fps"))
    assert [table.shown(row, everything) for row in table.rows] == shown
    assert [column.decimals for column in others] == [everything.decimals] * 2


def test_what_does_not_run_and_what_is_noise_are_told() -> None:
    run = speed_run(
        speed("dabnet", 4, noise=dict.fromkeys(WAYS, "other processes took 90% of a core")),
        speed("icnet", 4, noise={"pipelined": "the 'pipelined' figure varied by 17%"}),
        speed("enet", 8),
        refused={"cn14": "no memory", "segnet": "MaxUnpool"},
    )
    table = table7(run, "")
    assert [row.network for row in table.rows if row.source == "here"] == ["cn14", "segnet", "enet", "icnet", "dabnet"]
    assert row_of(table, "cn14") == Row("cn14", "here", {}, "does not run: no memory")
    assert row_of(table, "enet").values["cn14_times_as_fast"] is None, "there is nothing to compare it with"
    disturbed = "no result: frames/s, everything, network alone, pipelined: other processes took 90% of a core"
    assert row_of(table, "dabnet").remark == disturbed
    assert row_of(table, "icnet").remark == "no result: pipelined: the 'pipelined' figure varied by 17%"
    assert row_of(table, "enet").remark == ""
    assert list(COMPARED).index("segnet") < list(COMPARED).index("enet")


def test_ratios_to_what_is_no_result_are_none() -> None:
    def told(**noise: str) -> bool:
        run = speed_run(speed("cn14", 1, noise=noise), speed("enet", 8))  # type: ignore[arg-type]
        return "'cn14 is × as fast' is no result in any row: cn14's own times are none." in table7(run, "").notes

    assert told(everything="varied")
    assert not told(pipelined="varied")


def test_a_network_that_does_not_run_is_closed_at_once(short_turns: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextnet.reproduce import speed as module

    closed: list[str] = []
    open_engine, drained_s = EngineChoice.open, module.OverlappingCalls.drained_s

    def watched(self: EngineChoice, place: Path, calls: int) -> object:
        opened = open_engine(self, place, calls)
        close = opened.engine.close
        monkeypatch.setattr(opened.engine, "close", lambda: (closed.append(place.stem), close()))
        return opened

    def refuse_the_first(self: module.OverlappingCalls, runs: int) -> float:
        if not closed:
            raise RuntimeError("std::bad_alloc")
        return drained_s(self, runs)

    monkeypatch.setattr(EngineChoice, "open", watched)
    monkeypatch.setattr(module.OverlappingCalls, "drained_s", refuse_the_first)
    run = measure_speeds(("enet", "cn14-160"), SMALL, EngineChoice("openvino", "cpu", "fp32", 2), no_bar, rounds=1)
    assert run.refused == {"enet": "std::bad_alloc"}
    assert closed == ["enet", "enet", "cn14-160", "cn14-160"], "those that are timed stay open until the end"


def test_networks_are_timed_in_turns(short_turns: None) -> None:
    networks = ("cn14-160", "no-such-network", "enet")
    run = measure_speeds(networks, SMALL, EngineChoice("openvino", "cpu", "fp32", 2), no_bar, rounds=2)
    assert [one.network for one in run.speeds] == ["cn14-160", "enet"]
    assert list(run.refused) == ["no-such-network"]
    assert "no network is called 'no-such-network'" in run.refused["no-such-network"]
    assert (run.size_hw, run.engine.name, run.engine.precision, run.in_flight) == (SMALL, "openvino", "fp32", 3)
    for one in run.speeds:
        assert set(one.timings) == set(WAYS)
        assert all(len(timed.rounds_s) == 2 and timed.median_ms > 0 for timed in one.timings.values())
        cost = measure_cost(named_spec(one.network), SMALL)
        assert (one.parameters, one.macs) == (cost.parameters, cost.macs)
    assert run.of("cn14-160") is run.speeds[0]
    assert run.of("no-such-network") is None
    table = table7(run, "")
    assert "does not run: no network is called" in row_of(table, "no-such-network").remark


@pytest.mark.parametrize(
    ("size_hw", "choice", "complaint"),
    [
        ((64, 2), EngineChoice("openvino", "cpu", "fp32"), "give a size in this range"),
        (SMALL, EngineChoice("openvino", "cpu", "int3"), "none of the networks runs: .*'int3'"),
        (SMALL, EngineChoice("pytorch", "cpu", "fp32", 2), "none of the networks runs: .*OMP_NUM_THREADS"),
    ],
)
def test_what_cannot_be_timed_at_all_is_an_error(
    monkeypatch: pytest.MonkeyPatch, size_hw: tuple[int, int], choice: EngineChoice, complaint: str
) -> None:
    monkeypatch.setattr("contextnet.reproduce.speed.draw_street", lambda size_hw: np.zeros((*size_hw, 3), np.uint8))
    with pytest.raises(ContextNetError, match=complaint):
        measure_speeds(("cn14-160",), size_hw, choice, no_bar)


def test_no_network_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contextnet.reproduce.speed.draw_street", lambda size_hw: np.zeros((*size_hw, 3), np.uint8))
    with pytest.raises(ContextNetError, match="none was named"):
        measure_speeds((), SMALL, EngineChoice("openvino", "cpu", "fp32"), no_bar)


def test_pytorch_runs_the_weights_and_memory_may_not_suffice(
    short_turns: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextnet.reproduce import speed as module

    def build(spec: object) -> torch.nn.Module:
        if getattr(spec, "name", "") == "enet":
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 9 GiB")
        return build_network(spec)  # type: ignore[arg-type]

    build_network = module.build_network
    monkeypatch.setattr(module, "build_network", build)
    monkeypatch.setattr(module, "draw_street", lambda size_hw: np.zeros((*size_hw, 3), np.uint8))
    run = measure_speeds(("enet", "cn14-160"), SMALL, EngineChoice("pytorch", "cpu", "fp32"), no_bar, rounds=1)
    assert run.refused == {"enet": "CUDA out of memory. Tried to allocate 9 GiB"}
    assert [one.network for one in run.speeds] == ["cn14-160"]
    assert run.engine.name == "pytorch"
