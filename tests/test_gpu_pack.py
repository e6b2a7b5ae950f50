"""What travels to a machine with a GPU and back: the packed data, and runs as a tar in parts."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from contextnet.data.sources import open_data
from contextnet.errors import ContextNetError, DataError

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.gpu import bundle, pack  # noqa: E402


@pytest.mark.parametrize(
    ("limit_blocks", "taken", "left_out"),
    [
        # Each takes a block of 512 bytes for its header and its own, filled up: best 2, state 3, last 2.
        (7, ["best", "state", "last"], []),
        (6, ["best", "state"], ["last"]),
        (4, ["best", "last"], ["state"]),
        (2, ["best"], ["state", "last"]),
        (1, [], ["best", "state", "last"]),
    ],
)
def test_results_go_back_before_states_and_those_before_last_weights(
    limit_blocks: int, taken: list[str], left_out: list[str]
) -> None:
    sizes = {"last": (512, 2), "state": (513, 1), "best": (1, 0)}
    members = [bundle.Member(Path(name), name, size, rank) for name, (size, rank) in sizes.items()]
    found = bundle.choose_members(members, 64 * 1024 + 512 * limit_blocks)
    assert tuple([m.name for m in part] for part in found) == (taken, left_out)


def test_parts_are_limited_and_replace_older_ones(tmp_path: Path) -> None:
    run, out = tmp_path / "runs" / "a", tmp_path / "out"
    (run / "states").mkdir(parents=True)
    out.mkdir()
    content = np.random.default_rng(0).bytes(200_000)
    (run / "best.safetensors").write_bytes(content)
    (run / "last.safetensors").write_bytes(content)
    (out / "runs-0009.tar.03").write_bytes(b"old")
    (out / ".runs-0009.tar.00.0123abcd.tmp").write_bytes(b"half")
    written = bundle.write_bundle({run: False}, out, part_bytes=100_000, max_parts=3)
    assert written.left_out == ("a/last.safetensors",)
    assert [path.name for path in sorted(out.iterdir())] == [f"runs-0010.tar.0{number}" for number in range(3)]
    assert [path.stat().st_size for path in written.parts[:2]] == [100_000, 100_000]
    assert bundle.unpack_bundle(out, tmp_path / "home", tmp_path / "results") == {"a": False}
    assert (tmp_path / "home" / "a" / "best.safetensors").read_bytes() == content


@pytest.mark.parametrize("parts_written", [0, 1, 2, 3])
def test_a_bundle_that_was_cut_off_leaves_the_one_before(
    parts_written: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out = tmp_path / "runs" / "a", tmp_path / "out"
    run.mkdir(parents=True)
    out.mkdir()
    whole, written = bundle.write_atomically, []

    def cut_off(path: Path, write: Callable[[BinaryIO], None]) -> None:
        if len(written) == parts_written:
            raise KeyboardInterrupt
        written.append(path.name)
        whole(path, write)

    # 60,000 bytes are in a tar of 71,680, since its blocks are filled up to 10,240: four parts.
    (run / "best.safetensors").write_bytes(b"1" * 60_000)
    assert len(bundle.write_bundle({run: False}, out, part_bytes=20_000, max_parts=8).parts) == 4
    (run / "best.safetensors").write_bytes(b"2" * 60_000)
    monkeypatch.setattr(bundle, "write_atomically", cut_off)
    with pytest.raises(KeyboardInterrupt):
        bundle.write_bundle({run: False}, out, part_bytes=20_000, max_parts=8)
    monkeypatch.undo()
    assert written == [f"runs-0002.tar.0{number}" for number in (3, 2, 1)][:parts_written]
    best = tmp_path / "home" / "a" / "best.safetensors"
    for expected in (b"1", b"2"):
        bundle.unpack_bundle(out, tmp_path / "home", tmp_path / "results")
        assert best.read_bytes() == expected * 60_000
        bundle.write_bundle({run: False}, out, part_bytes=20_000, max_parts=8)
    assert len(list(out.iterdir())) == 4


@pytest.mark.parametrize(
    ("is_finished", "came", "stay"),
    [
        (False, [], ["step-00000010.safetensors", "step-00000020.safetensors"]),
        (False, ["step-00000030.safetensors"], ["step-00000030.safetensors"]),
        (True, [], []),
    ],
    ids=["left out", "came back", "finished"],
)
def test_local_states_stay_where_the_bundle_has_none(
    is_finished: bool, came: list[str], stay: list[str], tmp_path: Path
) -> None:
    home, out, run = tmp_path / "home", tmp_path / "out", tmp_path / "away" / "a"
    for states, names in ((home / "a", ["step-00000010.safetensors", "step-00000020.safetensors"]), (run, came)):
        (states / "states").mkdir(parents=True)
        (states / "log.jsonl").write_text(f"{states.parent.name}", encoding="utf-8")
        for name in names:
            (states / "states" / name).write_text(states.parent.name, encoding="utf-8")
    out.mkdir()
    bundle.write_bundle({run: is_finished}, out)
    bundle.unpack_bundle(out, home, tmp_path / "results")
    assert (home / "a" / "log.jsonl").read_text(encoding="utf-8") == "away"
    found = {path.name: path.read_text(encoding="utf-8") for path in sorted((home / "a").glob("states/*"))}
    assert found == dict.fromkeys(stay, "away" if came else "home")
    assert [path.name for path in home.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("names", "unpacked"),
    [
        (["runs-0001.tar.00", "runs-0002.tar.01"], 1),
        (["runs-0001.tar.00", "runs-0002.tar.00"], 2),
        (["runs-0009.tar.00", "runs-0010.tar.00", "runs-0010.tar.02"], 9),
        (["runs-9999.tar.00", "runs-10000.tar.00"], 10_000),
        (["runs-0003.tar.01"], None),
    ],
    ids=["without its first part", "whole", "with a gap", "by number", "no whole one"],
)
def test_the_newest_whole_bundle_is_unpacked(names: list[str], unpacked: int | None, tmp_path: Path) -> None:
    for name in names:
        number = int(name.removeprefix("runs-").split(".")[0])
        index = f'{{"finished": {{"run-{number}": false}}}}'.encode()
        (tmp_path / name).write_bytes(tar_of(("bundle.json", index), (f"run-{number}/log.jsonl", b"")))
    if unpacked is None:
        with pytest.raises(ContextNetError, match=r"holds no whole bundle of runs"):
            bundle.unpack_bundle(tmp_path, tmp_path / "home", tmp_path / "results")
    else:
        expected = {f"run-{unpacked}": False}
        assert bundle.unpack_bundle(tmp_path, tmp_path / "home", tmp_path / "results") == expected


def tar_of(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        None,
        tar_of(("a/log.jsonl", b"{}")),
        tar_of(("bundle.json", b'{"finished": {"a": false}}'), ("../stray", b"x")),
        tar_of(("bundle.json", b'{"finished": {"a": false}}'), ("a/log.jsonl", b"x" * 5000))[:3000],
        b"no tar at all",
    ],
    ids=["nothing", "no index", "leads elsewhere", "cut off", "foreign"],
)
def test_a_bundle_that_is_none_is_refused_and_nothing_is_left(content: bytes | None, tmp_path: Path) -> None:
    out, runs = tmp_path / "out", tmp_path / "deep" / "gpu-runs"
    out.mkdir()
    if content is not None:
        (out / "runs-0001.tar.00").write_bytes(content)
    with pytest.raises(ContextNetError, match=r"^.*out: "):
        bundle.unpack_bundle(out, runs, tmp_path / "results")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == (["runs-0001.tar.00"] if content else [])


def make_camvid(root: Path) -> None:
    random = np.random.default_rng(0)
    for split in pack.SPLITS:
        for folder in (root / split, root / f"{split}annot"):
            folder.mkdir(parents=True)
        for name in ("a", "b"):
            flat = np.full((24, 32, 3), random.integers(0, 256, 3), np.uint8)
            Image.fromarray(flat).save(root / split / f"{name}.png")
            ids = random.integers(0, 12, (24, 32), dtype=np.uint8)
            Image.fromarray(ids).save(root / f"{split}annot" / f"{name}.png")


def test_packed_camvid_reads_as_before(tmp_path: Path) -> None:
    make_camvid(tmp_path / "camvid")
    pack.pack_camvid(tmp_path / "camvid", tmp_path / "packed")
    for split in pack.SPLITS:
        before, after = (open_data(f"camvid:{tmp_path / name}", split) for name in ("camvid", "packed"))
        assert len(after) == 2
        for one, other in zip(before, after, strict=True):
            assert other.image_path.suffix == ".webp"
            assert np.array_equal(one.label, other.label)
            # A flat colour leaves quantization nothing but the conversion to YCbCr and back to lose.
            assert np.abs(one.image.astype(int) - other.image.astype(int)).max() <= 4


def test_packing_refuses_an_image_without_its_mask(tmp_path: Path) -> None:
    make_camvid(tmp_path / "camvid")
    (tmp_path / "camvid" / "valannot" / "b.png").unlink()
    with pytest.raises(DataError, match=r"b\.png: does not exist"):
        pack.pack_camvid(tmp_path / "camvid", tmp_path / "packed")


def test_wheels_are_those_that_training_needs_beside_pytorch() -> None:
    text = '[project]\ndependencies = ["numpy>=2.1", "openvino>=2025", "pillow>=12.3", "types-x~=1.0"]\n'
    assert pack.runtime_requirements(text) == ["pillow", "types-x"]


@pytest.mark.parametrize(("limit_mib", "fits"), [(3.0, True), (2.9, False)])
def test_sizes_are_summed_against_the_limit(limit_mib: float, fits: bool) -> None:
    table, is_within = pack.render_sizes([pack.Part("camvid", 2, 2**20), pack.Part("wheels", 1, 2**21)], limit_mib)
    assert table.splitlines()[2] == "together           3 files     3.0 MiB"
    assert is_within is fits
