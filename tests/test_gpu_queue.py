"""Trainings on a GPU that is at hand for minutes: what comes next and for how long, and what became of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from contextnet.errors import RecipeError
from contextnet.reproduce.speed_tables import table7
from given_results import speed, speed_run

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.gpu import bundle, child, load, machine, plan, report, session  # noqa: E402

FAKE = """
import json, pathlib, signal, sys
assert sys.argv[1] == "train" and sys.argv[sys.argv.index("--device") + 1] == "cuda", sys.argv
folder = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
does = sys.argv[sys.argv.index("--set") + 1]
(folder / "states").mkdir(exist_ok=True)
log = (folder / "log.jsonl").open("a")
def write(event, **values):
    log.write(json.dumps({"event": event, **values}) + chr(10))
    log.flush()
write("start")
if does == "fail":
    print(*range(20), sep=chr(10))
    sys.exit(3)
if does == "wait" and "--resume" not in sys.argv:
    for epoch, rate in ((1, 50.0), (2, 90.0)):
        write("epoch", epoch=epoch, images_per_s=rate)
        (folder / "states" / f"step-{10 * epoch:08d}.safetensors").write_bytes(b"s" * epoch)
    write("validation", epoch=2, miou=0.25)
    (folder / "best.safetensors").write_bytes(b"best")
    signal.sigwait({signal.SIGTERM})
    sys.exit(143)
write("epoch", epoch=4, images_per_s=80.0)
write("validation", epoch=4, miou=0.5)
(folder / "states" / "step-00000040.safetensors").write_bytes(b"ssss")
for name in ("best", "last"):
    (folder / f"{name}.safetensors").write_bytes(name.encode())
(folder / "recipe.yaml").write_text("epochs: 4")
"""


@pytest.fixture
def held_sigterm() -> Iterator[None]:
    """Children start with SIGTERM held back until they wait for it, however slow they start."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def entry(name: str, does: str = "") -> plan.Training:
    return plan.Training(name=name, recipe="cn14-camvid", overrides=(does,) if does else ())


def write_log(folder: Path, *events: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")


def work(queue: list[plan.Training], root: Path, limits_s: list[float]) -> list[report.Outcome]:
    """Work through a queue of 4 epochs each, with these limits one after the other."""
    (root / "fake.py").write_text(FAKE, encoding="utf-8")
    elapsed = iter([*(65.0 - limit for limit in limits_s), 100.0])
    (root / "out").mkdir(exist_ok=True)
    outcomes, left_out = session.work_through(
        dict.fromkeys(queue, 4),
        root / "gpu-runs",
        root / "out",
        plan.Budget(100.0, least_s=0.0),
        lambda: next(elapsed),
        (sys.executable, "-S", str(root / "fake.py")),
    )
    assert left_out == ()
    return outcomes


@pytest.mark.usefixtures("held_sigterm")
def test_a_stopped_training_goes_on_a_failed_one_is_told_of_and_a_finished_one_is_skipped(tmp_path: Path) -> None:
    queue = [entry("slow", "wait"), entry("broken", "fail"), entry("quick", "finish"), entry("late", "finish")]
    slow, broken, quick, late = work(queue, tmp_path, [0.01, 60.0, 60.0])
    assert (slow.text, slow.standing.epochs, slow.standing.best_miou) == ("stopped, goes on", 2, 0.25)
    assert slow.ending is not None
    assert (slow.ending.exit_code, slow.ending.hit_limit) == (143, True)
    assert (broken.text, broken.has_failed) == ("failed with exit code 3", True)
    assert broken.ending is not None
    assert broken.ending.last_lines == tuple(str(i) for i in range(8, 20))
    assert (quick.text, quick.standing.epochs, quick.standing.images_per_s) == ("finished", 4, 80.0)
    assert [outcome.is_finished for outcome in (slow, broken, quick, late)] == [False, False, True, False]
    assert (late.text, late.ending) == ("not reached", None)

    bundle.unpack_bundle(tmp_path / "out", tmp_path / "home" / "gpu-runs", tmp_path / "home" / "runs")
    home = tmp_path / "home"
    files = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert files == {
        "gpu-runs/slow/best.safetensors",
        "gpu-runs/slow/log.jsonl",
        "gpu-runs/slow/output.txt",
        "gpu-runs/slow/states/step-00000020.safetensors",
        "gpu-runs/broken/log.jsonl",
        "gpu-runs/broken/output.txt",
        "gpu-runs/quick/log.jsonl",
        "gpu-runs/quick/recipe.yaml",
        *(
            f"runs/quick/{n}"
            for n in ("best.safetensors", "last.safetensors", "log.jsonl", "output.txt", "recipe.yaml")
        ),
    }

    slow, broken, quick, late = work(queue, home, [60.0, 60.0, 60.0])
    assert (slow.text, slow.standing.epochs, slow.standing.best_miou) == ("finished", 4, 0.5)
    assert broken.has_failed
    assert (quick.text, quick.ending) == ("finished before", None)
    assert late.text == "finished"
    assert [outcome.is_finished for outcome in (slow, broken, quick, late)] == [True, False, True, True]
    table = report.render_report([slow, broken, quick], ["slow/last.safetensors"]).splitlines()
    assert table[3].startswith("| broken | 0/4 | – | – | ")
    assert table[4] == "| quick | 4/4 | 50.00 | – | – | – | finished before |"
    assert table[6:8] == ["broken, its last lines:", ""]
    assert table[-1] == "left out for want of space: slow/last.safetensors"


@pytest.mark.usefixtures("held_sigterm")
@pytest.mark.parametrize(
    ("code", "limit_s", "exit_code", "hit_limit"),
    [
        ("print('done')", 60.0, 0, False),
        ("raise SystemExit(2)", 60.0, 2, False),
        ("import signal; signal.sigwait({signal.SIGTERM}); raise SystemExit(143)", 0.01, 143, True),
        ("import signal; signal.sigwait({signal.SIGUSR1})", 0.01, -9, True),
    ],
)
def test_a_child_is_stopped_at_its_limit(
    code: str, limit_s: float, exit_code: int, hit_limit: bool, tmp_path: Path
) -> None:
    saving_s = 60.0 if exit_code == 143 else 0.01
    ending = child.run_child([sys.executable, "-S", "-c", code], tmp_path / "output.txt", limit_s, saving_s)
    assert (ending.exit_code, ending.hit_limit) == (exit_code, hit_limit)


@pytest.mark.parametrize(
    ("code", "limit_s", "answer"),
    [
        ("print('[1, 2]')", 60.0, [1, 2]),
        ("print('hello')", 60.0, {"skipped": "its output is not JSON"}),
        ("import sys; sys.exit('│ No such command │')", 60.0, {"skipped": "exit code 1: No such command"}),
        ("import signal; signal.pause()", 0.2, {"skipped": "not done within 0 s"}),
    ],
)
def test_figures_that_cannot_be_had_say_why(code: str, limit_s: float, answer: Any) -> None:
    assert child.ask_child([sys.executable, "-S", "-c", code], limit_s) == answer


@pytest.mark.parametrize(
    ("elapsed_s", "training_s", "figures_s"),
    [(0.0, 505.0, 135.0), (100.0, 405.0, 35.0), (200.0, 305.0, 0.0), (475.0, 30.0, 0.0), (476.0, 0.0, 0.0)],
)
def test_budget_keeps_time_to_save_and_to_pack(elapsed_s: float, training_s: float, figures_s: float) -> None:
    budget = plan.Budget(540.0)
    assert (budget.for_training(elapsed_s), budget.for_figures(elapsed_s)) == (training_s, figures_s)


QUEUE_FAULTS = [
    (
        "trainings: [{name: a, recipe: r, override: [x=1]}]",
        "unknown key 'trainings.0.override'; the nearest valid key is",
    ),
    ("{training: [], trainings: []}", "unknown key 'training'; the nearest valid key is 'trainings'"),
    ("trainings: [{name: a}]", "'trainings.0.recipe' is missing"),
    ("trainings: [{name: ../a, recipe: r}]", "'../a' names a folder: letters, digits"),
    ("trainings: [{name: a, recipe: r}, {name: b, recipe: r}, {name: a, recipe: r}]", "the name 'a' stands 2 times"),
    ("trainings: [{name: a, recipe: r, overrides: [1]}]", "'trainings.0.overrides.0' is 1; expected text"),
    ("[1]", "holds a list"),
]


@pytest.mark.parametrize(("text", "complaint"), QUEUE_FAULTS)
def test_a_wrong_queue_is_refused_by_name(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "queue.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        plan.read_queue(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert complaint in str(caught.value)


def test_overrides_of_the_queue_come_before_those_of_a_training(tmp_path: Path) -> None:
    path = tmp_path / "queue.yaml"
    path.write_text(
        "overrides: [epochs=3, seed=1]\n"
        "trainings: [{name: a, recipe: r, overrides: [epochs=5]}, {name: b, recipe: r}]\n",
        encoding="utf-8",
    )
    found = {one.name: one.overrides for one in plan.read_queue(path)}
    assert found == {"a": ("epochs=3", "seed=1", "epochs=5"), "b": ("epochs=3", "seed=1")}


def test_an_empty_queue_is_nothing_to_do(tmp_path: Path) -> None:
    path = tmp_path / "queue.yaml"
    path.write_text("trainings: []", encoding="utf-8")
    assert plan.read_queue(path) == ()


@pytest.mark.parametrize(
    ("training", "complaint"),
    [
        (plan.Training(name="a", recipe="cn41-camvid"), "training 'a': 'cn41-camvid' is neither a file nor a shipped"),
        (entry("b", "epoch=3"), "training 'b': "),
    ],
)
def test_a_training_whose_recipe_is_wrong_is_refused_by_name(training: plan.Training, complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        plan.resolve_recipe(training)


def test_every_training_of_the_shipped_queue_has_a_recipe_for_the_gpu() -> None:
    recipes = {t.name: plan.resolve_recipe(t) for t in plan.read_queue(ROOT / "scripts" / "gpu" / "queue.yaml")}
    shown = {n: (r.network.variant, r.network.width, r.epochs, r.batch_size, r.data.source) for n, r in recipes.items()}
    assert shown == {
        "cn14-camvid-long": ("cn14", 1.0, 600, 16, "camvid:gpu-pack/camvid"),
        "cn12-camvid-long": ("cn12", 1.0, 600, 16, "camvid:gpu-pack/camvid"),
        "cn14-camvid-wide": ("cn14", 2.0, 600, 16, "camvid:gpu-pack/camvid"),
        "cn14-500-camvid-long": ("cn14-500", 1.0, 600, 16, "camvid:gpu-pack/camvid"),
        "cn14-160-camvid-long": ("cn14-160", 1.0, 600, 16, "camvid:gpu-pack/camvid"),
        "cn14-synthetic-long": ("cn14", 1.0, 200, 16, "synthetic:512x1024"),
        **{
            f"{network}-camvid-equal": (network, 1.0, 120, 16, "camvid:gpu-pack/camvid")
            for network in ("cn14", "segnet", "enet", "icnet", "erfnet", "pspnet", "deeplab-v2", "fast-scnn", "dabnet")
        },
    }
    for recipe in recipes.values():
        assert (recipe.checkpoints.every_epochs, recipe.checkpoints.keep) == (10, 1)
        assert (recipe.execution.precision, recipe.data.store, recipe.tensorboard) == ("bfloat16", "device", False)


@pytest.mark.parametrize(
    ("resume", "expected"),
    [
        (False, ["train", "cn14-camvid", "--init-from", "cn14-synthetic", "--output", "r", "--device", "cuda"]),
        (True, ["train", "--resume", "--output", "r", "--device", "cuda"]),
    ],
)
def test_arguments_are_those_of_the_train_command(resume: bool, expected: list[str]) -> None:
    training = plan.Training(
        name="a", recipe="cn14-camvid", overrides=("epochs=3", "seed=1"), init_from="cn14-synthetic"
    )
    arguments = plan.train_arguments(training, Path("r"), resume=resume)
    assert arguments == [*expected, "--set", "epochs=3", "--set", "seed=1"]
    parsed = parse_command(arguments)
    assert (parsed["device"], parsed["resume"], parsed["set_"]) == ("cuda", resume, ["epochs=3", "seed=1"])


def test_arguments_are_those_of_the_benchmark_command() -> None:
    parsed = parse_command(["benchmark", "training", "--json", "-", "--device", "cuda"])
    assert (parsed["json_"], parsed["device"]) == ("-", "cuda")


def parse_command(arguments: list[str]) -> dict[str, Any]:
    """Parse arguments as the command line does, and run nothing."""
    from contextnet.cli.app import app

    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    return dict(command.make_context("contextnet", arguments).params)


EPOCH_3 = [{"event": "start"}, *({"event": "epoch", "epoch": e, "images_per_s": 10.0 * e} for e in (1, 2, 3))]
VALIDATED_3 = {"event": "validation", "epoch": 3, "miou": 0.4}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], plan.Standing()),
        (EPOCH_3, plan.Standing(epochs=3, images_per_s=20.0)),
        ([*EPOCH_3, {"event": "start"}], plan.Standing(epochs=3)),
        (
            [*EPOCH_3, {"event": "validation", "epoch": 2, "miou": None}, VALIDATED_3],
            plan.Standing(epochs=3, validated_epoch=3, best_miou=0.4, images_per_s=20.0),
        ),
        (
            [VALIDATED_3, {"event": "start"}, {"event": "epoch", "epoch": 4, "images_per_s": 7.0}],
            plan.Standing(epochs=4, validated_epoch=3, best_miou=0.4, images_per_s=7.0),
        ),
    ],
)
def test_standing_is_read_from_the_log(events: list[dict[str, Any]], expected: plan.Standing, tmp_path: Path) -> None:
    write_log(tmp_path, *events)
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"event": "epoch", "epo')
    assert plan.read_standing(tmp_path) == expected
    assert plan.read_standing(tmp_path / "absent") == plan.Standing()


def test_a_start_behind_the_half_line_of_a_killed_run_parts_their_rates(tmp_path: Path) -> None:
    write_log(tmp_path, *EPOCH_3)
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"event": "epoch", "epo{"event": "start"}\n{"event": "epoch", "epoch": 4, "images_per_s": 7.0}\n')
    assert plan.read_standing(tmp_path) == plan.Standing(epochs=4, images_per_s=7.0)


@pytest.mark.parametrize(
    ("need", "exit_code", "hit_limit", "text", "is_finished", "has_failed"),
    [
        (plan.Need.NOTHING, 0, False, "finished", True, False),
        (plan.Need.NOTHING, 143, True, "finished", True, False),
        (plan.Need.NOTHING, 1, False, "failed with exit code 1", False, True),
        (plan.Need.RESUME, 143, True, "stopped, goes on", False, False),
        (plan.Need.RESUME, -9, True, "cut off (-9), goes on", False, False),
        (plan.Need.START, -9, True, "stopped before its first state", False, False),
        (plan.Need.STATE, 0, False, "failed with exit code 0", False, True),
    ],
)
def test_outcome_is_by_need_and_ending(
    need: plan.Need, exit_code: int, hit_limit: bool, text: str, is_finished: bool, has_failed: bool
) -> None:
    ending = child.Ending(exit_code, 1.0, hit_limit, ())
    outcome = report.outcome_of("a", plan.Standing(), 4, need, ending, None)
    assert (outcome.text, outcome.is_finished, outcome.has_failed) == (text, is_finished, has_failed)


@pytest.mark.parametrize(
    ("standing", "need"),
    [
        (plan.Standing(), plan.Need.START),
        (plan.Standing(has_state=True), plan.Need.RESUME),
        (plan.Standing(epochs=6, validated_epoch=5, has_state=True), plan.Need.RESUME),
        (plan.Standing(epochs=6, validated_epoch=6), plan.Need.NOTHING),
        (plan.Standing(epochs=5, validated_epoch=5), plan.Need.STATE),
        (plan.Standing(has_weights=True), plan.Need.STATE),
    ],
)
def test_need_of_a_run_of_six_epochs(standing: plan.Standing, need: plan.Need) -> None:
    assert plan.need_of(standing, 6) is need


@pytest.mark.parametrize(
    ("attempted", "expected"), [((), "b"), (("b",), "d"), (("b", "d"), None), (("d",), "b")], ids=str
)
def test_next_training_is_the_first_that_can_be_made(attempted: tuple[str, ...], expected: str | None) -> None:
    needs = dict(zip("abcd", (plan.Need.NOTHING, plan.Need.RESUME, plan.Need.STATE, plan.Need.START), strict=True))
    chosen = plan.next_training([entry(name) for name in "abcd"], needs, attempted)
    assert (chosen.name if chosen else None) == expected


@pytest.mark.parametrize(
    ("samples", "expected"), [("", None), ("[N/A]\n", None), ("0\n100\n", 0.5), ("90\n 80\n[N/A]\n100\n", 0.9)]
)
def test_busy_share_is_the_mean_of_the_samples(samples: str, expected: float | None) -> None:
    assert load.busy_share_of(samples) == expected


def test_without_wheels_nothing_is_installed_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    assert machine.install_wheels(tmp_path / "absent", tmp_path / "site") == ""
    (tmp_path / "broken-1.0-py3-none-any.whl").write_bytes(b"")
    assert machine.install_wheels(tmp_path, tmp_path / "site").startswith(f"{tmp_path}: its wheels cannot be installed")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_gpu_skips_visibly_without_a_cuda_gpu(tmp_path: Path) -> None:
    command = ["make", "gpu", f"OUT={tmp_path / 'out'}", f"GPU_PYTHON={sys.executable}"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "skipped: no CUDA GPU" in done.stdout
    assert not (tmp_path / "out").exists()


def test_all_networks_are_timed_by_the_command_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def answer(command: tuple[str, ...], limit_s: float) -> dict[str, str]:
        asked.append(command)
        return {"skipped": "given"}

    monkeypatch.setattr(session, "ask_child", answer)
    assert set(session.measure(plan.Budget(540.0), lambda: 0.0)) == {"inference", "training", "speed"}
    parsed = parse_command(list(asked[-1][len(session.CONTEXTNET) :]))
    assert (parsed["target"], parsed["size"], parsed["json_"]) == ("table7", ["512x1024"], "-")
    assert (parsed["device"], parsed["precision"], parsed["engine"]) == ("cuda", "fp16", "auto")


def test_table_7_is_part_of_the_report() -> None:
    table = table7(speed_run(speed("cn14", 0.5), speed("enet", 4), device="NVIDIA H200"), "contextnet reproduce table7")
    told = report.render_speed(table.to_json() | {"picture": "results/table7.svg"})
    assert told.startswith("### Table 7: frames per second at 512×1024, NVIDIA H200, openvino, fp32\n")
    assert "\n| cn14 | 2,000.0 | 4,000.0 | 8,000.0 | 1.00 | 0.5 |" in told
