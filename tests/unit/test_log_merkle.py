"""Merkle trees: against published vectors, and against the definitions of RFC 6962."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.merkle_reference import mth, nodes_of, path, proof
from worker.evidence.log.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    proves_consistency,
    proves_inclusion,
)

#: The leaves and roots that every implementation of Certificate Transparency tests itself with.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)

#: draft-ietf-plants-merkle-tree-certs, "Subtree Test Vectors": a hash over the outputs for every subtree of a tree of
#: 130 leaves, the bytes 0 to 129. A subtree of RFC 6962 has hashes and paths as a tree has.
MOST = 130
SUBTREES = "b82806ad4265bb151c1119c0f4db437bb4d1a1f887b3a7fba1cd4ebf552e3e81"
SUBTREE_PATHS = "ac2a8f989e44d99e399db448050ff5f19757df53cfb716aa81015d3955d8163f"


def frontier(entries: list[bytes]) -> Frontier:
    return Frontier().add(map(leaf_hash, entries))


def test_roots_are_those_that_certificate_transparency_publishes() -> None:
    assert [frontier(LEAVES[:size]).root.hex() for size in range(9)] == list(ROOTS)
    assert EMPTY_ROOT.hex() == ROOTS[0]


def subtrees() -> list[tuple[int, int]]:
    def valid(start: int, end: int) -> bool:
        width = 1 << max(end - start - 1, 0).bit_length()
        return start in {0, end} or start % width == 0

    return [(start, end) for end in range(MOST + 1) for start in range(end + 1) if valid(start, end)]


def test_hashes_of_all_subtrees_are_those_of_the_published_vector() -> None:
    entries, digest = [bytes([each]) for each in range(MOST)], hashlib.sha256()
    for start, end in subtrees():
        digest.update(f"[{start}, {end}) {frontier(entries[start:end]).root.hex()}\n".encode())
    assert digest.hexdigest() == SUBTREES


def test_paths_in_all_subtrees_are_those_of_the_published_vector() -> None:
    entries, digest = [bytes([each]) for each in range(MOST)], hashlib.sha256()
    for start, end in subtrees():
        node = nodes_of(entries[start:end])
        for index in range(start, end):
            found = inclusion_proof(index - start, end - start, node)
            digest.update(f"{index} [{start}, {end}){''.join(f' {each.hex()}' for each in found)}\n".encode())
    assert digest.hexdigest() == SUBTREE_PATHS


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 11, 16, 33])
def test_proofs_are_those_of_the_definitions_and_prove(size: int) -> None:
    entries = [f"entry {number}".encode() for number in range(size)]
    node, root = nodes_of(entries), mth(entries)
    assert frontier(entries).root == root
    for index, entry in enumerate(entries):
        found = inclusion_proof(index, size, node)
        assert list(found) == path(index, entries)
        assert proves_inclusion(index, size, leaf_hash(entry), found, root)
    for old in range(1, size + 1):
        shown = consistency_proof(old, size, node)
        assert list(shown) == proof(old, entries)
        assert proves_consistency(old, size, mth(entries[:old]), root, shown)


def test_a_changed_proof_proves_nothing() -> None:
    entries = [f"entry {number}".encode() for number in range(11)]
    node, root = nodes_of(entries), mth(entries)
    for index, entry in enumerate(entries):
        leaf, found = leaf_hash(entry), inclusion_proof(index, 11, node)
        for wrong in (found[:-1], found[1:], (*found, root), (root, *found), found[::-1]):
            assert wrong == found or not proves_inclusion(index, 11, leaf, wrong, root)
        assert not proves_inclusion(index, 11, leaf_hash(b"another"), found, root)
        assert not proves_inclusion((index + 1) % 11, 11, leaf, found, root)
        assert not proves_inclusion(index, 11, leaf, found, leaf)
    assert not proves_inclusion(11, 11, leaf_hash(entries[0]), (), root)
    for old in range(1, 11):
        before, shown = mth(entries[:old]), consistency_proof(old, 11, node)
        for wrong in (shown[:-1], shown[1:], (*shown, root), (root, *shown)):
            assert not proves_consistency(old, 11, before, root, wrong)
        assert not proves_consistency(old, 11, root, before, shown)
        assert not proves_consistency(old, 11, leaf_hash(b"another"), root, shown)
    assert not proves_consistency(11, 11, leaf_hash(b"another"), root, ())
    assert not proves_consistency(12, 11, root, root, ())


def test_a_frontier_can_be_continued_and_stays_small() -> None:
    grown = Frontier()
    for number in range(1000):
        grown = grown.add([leaf_hash(b"%d" % number)])
        assert grown.is_whole
        assert len(grown.hashes) <= 10
    assert grown == frontier([b"%d" % number for number in range(1000)])
    assert not Frontier(3, grown.hashes[:1]).is_whole
