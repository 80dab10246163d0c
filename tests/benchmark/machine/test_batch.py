"""A batch is halved when a GPU runs out of memory, and nothing is lost or repeated."""

import weakref

import pytest

from benchmark.machine.batch import Batch, Batches

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.mark.parametrize("most", [8, 3, 1])
def test_every_item_is_worked_on_once_and_in_order(
    most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    batch, sizes = Batch(8), []

    def work(part: list[int]) -> int:
        sizes.append(len(part))
        if len(part) > most:
            raise RuntimeError(FULL)
        return sum(part)

    found = list(batch.over(iter(range(11)), work))
    assert [item for part, _ in found for item in part] == list(range(11))
    assert all(total == sum(part) for part, total in found)
    halved = {8: [], 3: [8, 4], 1: [8, 4, 2]}[most]
    assert [size for size in sizes if size > most] == halved
    assert batch.size == {8: 8, 3: 2, 1: 1}[most]
    assert ("now 4 at a time" in capsys.readouterr().err) == (most < 8)


@pytest.mark.parametrize(("size", "told"), [(1, FULL), (8, "mat1 and mat2 shapes differ")])
def test_what_no_smaller_batch_helps_is_raised(size: int, told: str) -> None:
    def work(part: list[int]) -> None:
        raise RuntimeError(told)

    batch = Batch(size)
    with pytest.raises(RuntimeError, match=told):
        list(batch.over([1, 2], work))
    assert batch.size == size


def test_memory_of_a_failed_pass_and_of_the_part_before_is_free_in_the_next() -> None:
    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []

    def work(part: list[int]) -> Tensor:
        assert not any(tensor() for tensor in held)
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        if len(part) > 1:
            raise RuntimeError(FULL)
        return tensor

    for part, tensor in Batch(2).over([1, 2, 3], work):
        assert len(part) == 1
        del tensor
    assert len(held) == 4


def test_an_empty_batch_is_refused_and_variants_share_theirs() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        Batch(0)
    batches = Batches()
    assert batches[4] is batches[4]
    assert (batches[4].size, batches[2].size) == (4, 2)
