"""``contextnet benchmark``: which command is meant, what it prints, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contextnet.benchmark import inference_rate
from contextnet.benchmark import noise as noise_module
from contextnet.benchmark.inference_figures import FIGURES, Figures
from contextnet.benchmark.inference_rate import InferenceRate, PeakMemory, measure_inference
from contextnet.benchmark.machine import Machine
from contextnet.benchmark.turns import Timings
from contextnet.cli.inference_table import machine_line, rate_table
from contextnet.runtime.engines.engine import EngineInfo
from contextnet.runtime.segmenter import EngineChoice

Run = Callable[..., tuple[int, str, str]]

RUN_MS = dict(zip(FIGURES, (20.0, 16.0, 17.5, 160.0, 200.0), strict=True))
XEON = Machine("Xeon", 2, {"amx_int8": True, "avx_vnni": False, "avx512_vnni": True}, 8123, "Linux", "3.11.7", "0.1.0")
UNKNOWN = Machine(None, 4, None, None, "Plan 9", "3.11.7", "0.1.0")


def rate_of(noise: str | None = None, with_pytorch: bool = True, machine: Machine = XEON) -> InferenceRate:
    measured = FIGURES if with_pytorch else FIGURES[:3]
    timings = {name: Timings(((RUN_MS[name] / 1e3,) * 2,) * 3) for name in measured}
    memory = PeakMemory(100, 210, 340) if machine is XEON else PeakMemory(None, None, None)
    return InferenceRate(
        network="cn14",
        size_hw=(512, 1024),
        threads=2,
        engine=EngineInfo("openvino", "2026.4", "cpu", "int8+bf16", 1),
        reason="OpenVINO on the CPU: there is no GPU",
        in_flight=3,
        figures=Figures(timings, 2.5, 0.03, noise, 1),
        memory=memory,
        machine=machine,
    )


class Measured:
    """Takes the place of the measurement, gives a rate, and keeps what was asked for."""

    def __init__(self, rate: InferenceRate) -> None:
        self.rate = rate
        self.asked: list[tuple[Any, ...]] = []

    def __call__(
        self, source: Path, size_hw: tuple[int, int], choice: EngineChoice, *, rounds: int, progress: object
    ) -> InferenceRate:
        self.asked.append((source.name, size_hw, choice, rounds))
        return self.rate


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    stand_in = Measured(rate_of())
    monkeypatch.setattr(inference_rate, "measure_inference", stand_in)
    return stand_in


AUTO = EngineChoice()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["tiny.safetensors"], ("tiny.safetensors", (1024, 2048), AUTO, 7), id="weights alone"),
        pytest.param(["inference", "tiny.safetensors"], ("tiny.safetensors", (1024, 2048), AUTO, 7), id="by its name"),
        pytest.param(
            ["--rounds", "3", "--size", "64x128", "tiny.safetensors"],
            ("tiny.safetensors", (64, 128), AUTO, 3),
            id="options first",
        ),
        pytest.param(["./training"], ("training", (1024, 2048), AUTO, 7), id="a file with a command's name"),
        pytest.param(
            ["tiny.safetensors", "--engine", "openvino", "--device", "cpu", "--precision", "bf16", "--threads", "1"],
            ("tiny.safetensors", (1024, 2048), EngineChoice("openvino", "cpu", "bf16", 1), 7),
            id="every choice",
        ),
    ],
)
def test_words_that_begin_with_no_command_are_a_network(
    shell: Run, measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: object
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tiny.safetensors", "training"):
        (tmp_path / name).touch()
    monkeypatch.setattr("contextnet.runtime.engines.opening.find_model", lambda name, engine: Path(name))
    code, _, err = shell("benchmark", *words)
    assert code == 0, err
    assert measured.asked == [expected]


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_shows_every_command(shell: Run, words: list[str]) -> None:
    _, out, err = shell("benchmark", *words)
    text = " ".join((out + err).split())
    assert "benchmark [OPTIONS] WEIGHTS | training | stream | live | steadiness | robustness | compare " in text
    assert "inference Time a network" in text
    assert "training Time a recipe's training step" in text
    assert "stream Time a video becoming a labelled video" in text
    assert "live Play a video as a camera" in text
    assert "steadiness Compare the ways of --smooth" in text
    assert "robustness Score a network under blur" in text
    assert "compare Time networks in turns" in text


def test_training_stays_a_command_of_its_own(shell: Run) -> None:
    assert "A recipe file (YAML)" in shell("benchmark", "training", "--help")[1]
    assert "A shipped network or a model file" in shell("benchmark", "cn14-camvid", "--help")[1]


def test_json_alone_on_standard_output_or_beside_the_table(
    shell: Run, measured: Measured, tiny_weights: Path, tmp_path: Path
) -> None:
    code, out, err = shell("benchmark", str(tiny_weights), "--json", "-")
    assert code == 0, err
    figures = json.loads(out)
    assert figures == measured.rate.to_json()
    # 1000 over the milliseconds a run.
    fps = {"sequential": 50, "pipelined": 62.5, "engine": 57.14, "eager_torch": 6.25, "eager_torch_end_to_end": 5}
    assert {name: figures[f"{name}_fps"] for name in FIGURES} == fps
    assert figures["ratios"]["pipelined_end_to_end"] == 12.5
    assert (figures["is_result"], figures["noise"], figures["peak_memory_mb"]) == (True, None, 340)
    target = tmp_path / "rate.json"
    code, out, err = shell("benchmark", str(tiny_weights), "--json", str(target))
    assert code == 0, err
    assert json.loads(target.read_text(encoding="utf-8")) == figures
    assert "62.50 images/s" in out


def test_the_table_has_the_figures_with_units_the_engine_and_the_machine(
    shell: Run, measured: Measured, tiny_weights: Path
) -> None:
    _, out, _ = shell("benchmark", str(tiny_weights))
    rows = [" ".join(line.replace("│", " ").split()) for line in out.splitlines()]
    assert "cn14, 512×1024, int8+bf16" in rows
    for row in (
        "50.00 images/s one after the other, from an image to its labels 8.00",
        "62.50 images/s pipelined, 3 images on their way 10.00",
        "57.14 images/s the network alone, from an image to its scores 9.14",
        "6.25 images/s the network alone in eager PyTorch, float32, random weights",
        "20.0 ms median latency, one after the other",
        "20.0 ms 99th percentile; the mean is 20.0 ms",
        "17.5 ms network",
        "2.5 ms labels from its scores",
        "210 MB peak memory, one after the other",
        "340 MB with a second engine for the pipelined figure",
        "openvino 2026.4 on cpu, int8+bf16, 2 threads; OpenVINO on the CPU: there is no GPU",
        "Xeon, 2 cores, amx_int8 avx512_vnni, 8.1 GB, Linux, Python 3.11.7, contextnet 0.1.0",
    ):
        assert row in rows


def test_noisy_figures_are_no_result_and_no_failure(shell: Run, measured: Measured, tiny_weights: Path) -> None:
    measured.rate = rate_of("other processes took 43% of a core (at most 15%)")
    title = rate_table(measured.rate).title
    assert getattr(title, "style", None) == "bold red"
    code, out, _ = shell("benchmark", str(tiny_weights))
    assert code == 0
    assert "not a result: other processes took 43% of a core (at most 15%)" in " ".join(out.split())
    assert "cn14, 512×1024, int8+bf16" in out
    assert json.loads(shell("benchmark", str(tiny_weights), "--json", "-")[1])["is_result"] is False


def test_what_is_not_known_is_left_out(shell: Run, measured: Measured, tiny_weights: Path) -> None:
    measured.rate = rate_of(with_pytorch=False, machine=UNKNOWN)
    _, out, _ = shell("benchmark", str(tiny_weights))
    assert "PyTorch is not installed, so nothing is compared with it" in out
    assert "eager PyTorch" not in out
    assert "MB" not in out
    assert machine_line(UNKNOWN) == "unknown processor, 4 cores, Plan 9, Python 3.11.7, contextnet 0.1.0"


def test_a_weights_file_is_really_measured(shell: Run, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise_module, "await_quiet", lambda: 0.0)
    monkeypatch.setattr(inference_rate, "measure_inference", partial(measure_inference, turn_s=0.01))
    code, out, err = shell("benchmark", str(tiny_weights), "--size", "33x70", "--rounds", "3", "--json", "-")
    assert code == 0, err
    figures = json.loads(out)
    assert (figures["network"], figures["size_hw"]) == ("cn14-160-x0.25", [33, 70])
    assert figures["engine"]["name"] == "pytorch"
    assert figures["eager_torch_fps"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.onnx"], "'absent.onnx' is neither a file nor a shipped network"),
        (["training.onnx", "--size", "64"], "size '64': expected HEIGHTxWIDTH"),
        (
            ["cn14-camvid", "--size", "8x64"],
            "size 8x64: the street that is labelled is 16 to 8192 pixels high and wide",
        ),
        (["cn14-camvid", "--json", "no/such/file.json"], "its folder does not exist; make it first"),
        (
            ["steadiness", "cn14-camvid-int8"],
            "'cn14-camvid-int8' labels the 11 classes of 'camvid', but the drawn streets have the 19 of 'cityscapes'; "
            "give a network for these, such as cn14-synthetic-int8",
        ),
        (["cn14-camvid", "--engine", "steam"], "engine 'steam'"),
        (["cn14-camvid", "--device", "abacus"], "device 'abacus'"),
    ],
)
def test_refuses_in_one_sentence(shell: Run, words: list[str], message: str) -> None:
    code, out, err = shell("benchmark", *words)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert len(err.strip().splitlines()) == 1
