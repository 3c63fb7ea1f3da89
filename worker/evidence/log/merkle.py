"""Merkle trees of RFC 6962: hashes, the frontier that grows a tree, and proofs. Pure.

A node is named by its level and its index there: level 0 has the hashes of the leaves, and node `i` of level `l` covers
the leaves from `i * 2**l` to `(i + 1) * 2**l`. Only complete nodes have a name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Bytes of a hash.
HASH_BYTES: Final = 32

#: The root of a tree without leaves.
EMPTY_ROOT: Final = hashlib.sha256().digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node with two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The hashes that a growing tree needs: those of its complete subtrees, from the left, the largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def add(self, leaves: Iterable[bytes]) -> Frontier:
        """Return the frontier after these hashes of leaves. Takes O(log n) memory and, a leaf, O(1) time."""
        size, hashes = self.size, list(self.hashes)
        for leaf in leaves:
            hashes.append(leaf)
            size += 1
            # Each trailing zero bit is a subtree that this leaf completes.
            for _ in range((size & -size).bit_length() - 1):
                right = hashes.pop()
                hashes[-1] = node_hash(hashes[-1], right)
        return Frontier(size, tuple(hashes))

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        if not self.hashes:
            return EMPTY_ROOT
        *others, root = self.hashes
        for left in reversed(others):
            root = node_hash(left, root)
        return root

    @property
    def is_whole(self) -> bool:
        """Whether it has as many hashes as its size requires."""
        return self.size >= 0 and len(self.hashes) == self.size.bit_count()


def subtree(low: int, high: int, node: Callable[[int, int], bytes]) -> bytes:
    """Return the hash of the leaves from `low` to `high`, which a tree of RFC 6962 has as one node or a right edge."""
    count = high - low
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return node(level, low >> level)
    middle = low + _split(count)
    return node_hash(subtree(low, middle, node), subtree(middle, high, node))


def inclusion_proof(index: int, size: int, node: Callable[[int, int], bytes]) -> tuple[bytes, ...]:
    """Return the audit path of a leaf, from its sibling up to the root's child. `node` returns a node's hash."""
    proof: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(subtree(middle, high, node))
            high = middle
        else:
            proof.append(subtree(low, middle, node))
            low = middle
    return tuple(reversed(proof))


def consistency_proof(old: int, size: int, node: Callable[[int, int], bytes]) -> tuple[bytes, ...]:
    """Return the proof that the tree of `size` leaves begins with the tree of `old` leaves, which are one or more."""
    if old == size:
        return ()
    proof: list[bytes] = []
    low, high = 0, size
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            proof.append(subtree(middle, high, node))
            high = middle
        else:
            proof.append(subtree(low, middle, node))
            low = middle
    # A verifier knows the old root already, which is this subtree if it is the whole old tree.
    if low:
        proof.append(subtree(low, high, node))
    return tuple(reversed(proof))


def proves_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that the tree with `root` has `leaf` at `index`: RFC 9162, section 2.1.3.2."""
    if not 0 <= index < size or len(leaf) != HASH_BYTES:
        return False
    at, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def proves_consistency(old: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree with `root` begins with that of `old_root`: RFC 9162, section 2.1.4.2."""
    if not 0 < old <= size:
        return False
    if old == size:
        return not proof and old_root == root
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old_root and second == root


def _split(count: int) -> int:
    """Return the largest power of two below `count`, which is 2 or more."""
    return 1 << (count - 1).bit_length() - 1
