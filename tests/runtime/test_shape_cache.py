from __future__ import annotations

import pytest

from contextnet.runtime.engines.shape_cache import ShapeCache


@pytest.mark.parametrize(
    ("asked", "room", "made"),
    [
        ("aaa", 1, "a"),
        ("abab", 1, "abab"),
        ("abab", 2, "ab"),
        # c takes the place of b, which has not been asked for since a.
        ("abacab", 2, "abcb"),
        ("abcabc", 3, "abc"),
        ("abcdabcd", 3, "abcdabcd"),
    ],
)
def test_shapes_asked_for_last_are_kept(asked: str, room: int, made: str) -> None:
    notes: list[tuple[int, ...]] = []

    def make(shape: tuple[int, ...]) -> str:
        notes.append(shape)
        return f"made for {shape}"

    cache = ShapeCache(make, room)
    assert [cache[(ord(letter),)] for letter in asked] == [f"made for ({ord(letter)},)" for letter in asked]
    assert "".join(chr(number) for (number,) in notes) == made
    cache.clear()
    cache[(ord(asked[-1]),)]
    assert len(notes) == len(made) + 1


def test_room_is_made_before_a_new_one_is_and_a_failure_keeps_nothing() -> None:
    alive: set[tuple[int, ...]] = set()

    class Made:
        def __init__(self, shape: tuple[int, ...]) -> None:
            if shape == (13,):
                raise MemoryError
            assert len(alive) < 2
            alive.add(shape)
            self.shape = shape

        def __del__(self) -> None:
            alive.discard(getattr(self, "shape", ()))

    cache = ShapeCache(Made, 2)
    for number in (1, 2, 3):
        cache[(number,)]
    assert alive == {(2,), (3,)}
    with pytest.raises(MemoryError):
        cache[(13,)]
    assert cache[(3,)].shape == (3,)
