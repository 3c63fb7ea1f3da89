"""Tiles: their names, and the rows that fill them."""

from __future__ import annotations

import pytest

from tests.support.merkle_reference import mth, nodes_of, tiles_of
from worker.evidence.log.merkle import Frontier, leaf_hash
from worker.evidence.log.tiles import Rows, bundle, entries_of, hashes_of, partial_tiles, tile_name, top_of


def entries(count: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(count)]


def frontier(size: int) -> Frontier:
    return Frontier().add(map(leaf_hash, entries(size)))


def test_names_are_those_of_the_specification() -> None:
    assert tile_name(0, 1_234_067) == "tile/0/x001/x234/067"
    assert tile_name(0, 273, 112) == "tile/0/273.p/112"
    assert tile_name(1, 0) == "tile/1/000"
    assert tile_name("entries", 1000, 1) == "tile/entries/x001/000.p/1"


def test_a_tree_of_70_000_has_the_tiles_of_the_specification() -> None:
    found = list(tiles_of(70_000))
    assert sum(1 for tile in found if tile[0] == 0 and tile[2] == 256) == 273
    assert [tile for tile in found if tile[0] != "entries" and tile[2] < 256] == [
        (0, 273, 112),
        (1, 1, 17),
        (2, 0, 1),
    ]
    assert [tile for tile in found if tile[0] == 1] == [(1, 0, 256), (1, 1, 17)]
    assert list(tiles_of(256)) == [("entries", 0, 256), (0, 0, 256), (1, 0, 1)]
    assert list(tiles_of(0)) == []
    for size in (0, 1, 255, 256, 257, 65_536, 70_000):
        assert list(partial_tiles(size)) == [tile for tile in tiles_of(size) if tile[2] < 256]


@pytest.mark.parametrize("steps", [[1], [255, 1, 1], [256], [300, 300], [7] * 100, [70_000]])
def test_each_row_has_the_hashes_of_the_tree(steps: list[int]) -> None:
    everything, size = entries(sum(steps)), 0
    rows, written = Rows(), dict[str, bytes]()
    for step in steps:
        for name, raw in rows.add(everything[size : size + step]):
            assert written.setdefault(name, raw) == raw
        size += step
        wanted = {tile_name(*tile) for tile in tiles_of(size)}
        assert wanted <= set(written)
        assert rows.are_of(frontier(size))
    node = nodes_of(everything)
    for level, index, width in tiles_of(size):
        raw = written[tile_name(level, index, width)]
        if isinstance(level, str):
            assert entries_of(raw) == everything[index * 256 :][:width]
        else:
            assert hashes_of(raw) == [node(8 * level, index * 256 + at) for at in range(width)]


def test_rows_can_be_read_again_and_only_those_of_the_tree() -> None:
    everything, rows, written = entries(66_000), Rows(), dict[str, bytes]()
    written.update(rows.add(everything))
    assert Rows.read(frontier(66_000), written.get) == rows
    assert Rows.read(Frontier(), written.get) == Rows()
    for name in [tile_name(*tile) for tile in tiles_of(66_000) if tile[2] < 256]:
        for changed in (None, written[name][:-1], written[name][:-32], bytes(len(written[name]))):
            assert Rows.read(frontier(66_000), {**written, name: changed}.get) is None
    assert Rows.read(frontier(65_999), written.get) is None


def test_the_top_of_a_full_tile_is_the_root_of_its_leaves() -> None:
    assert top_of([leaf_hash(each) for each in entries(256)]) == mth(entries(256))


@pytest.mark.parametrize("raw", [b"\x00", b"\x00\x02x", bundle([b"abc"])[:-1]])
def test_a_cut_bundle_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="cut off"):
        entries_of(raw)
    with pytest.raises(ValueError, match="cut off"):
        hashes_of(raw)
