"""Signed notes and checkpoints: against the vectors of C2SP and of Go's sumdb."""

from __future__ import annotations

import pytest

from tests.support.merkle_reference import nodes_of
from worker.evidence.log.checkpoint import Checkpoint, Proof
from worker.evidence.log.merkle import Frontier, inclusion_proof, leaf_hash
from worker.evidence.log.notes import NoteRefused, NoteSigner, NoteVerifier, new_signer, open_note

#: c2sp.org/signed-note.
C2SP_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
C2SP_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)

#: golang.org/x/mod/sumdb/note.
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
GO_NOTE = (
    f"{GO_TEXT}\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"

SIGNER = NoteSigner.parse(GO_PRIVATE)
ORIGIN = "kyc.example/ph"

#: More hashes than a proof can have.
MANY_HASHES = f"{'A' * 43}=\n" * 70


def test_the_published_notes_open_with_their_keys() -> None:
    assert open_note(C2SP_NOTE, [NoteVerifier.parse(C2SP_KEY)]) == "This is an example message.\n"
    assert open_note(GO_NOTE, [NoteVerifier.parse(GO_KEY)]) == GO_TEXT
    assert open_note(GO_NOTE + ENOCH, [NoteVerifier.parse(GO_KEY)]) == GO_TEXT


def test_the_published_private_key_makes_the_published_note() -> None:
    assert SIGNER.sign(GO_TEXT) == GO_NOTE
    assert str(SIGNER.verifier) == GO_KEY
    assert SIGNER.private_text() == GO_PRIVATE


def test_no_changed_character_of_a_key_is_accepted() -> None:
    for parse, text in ((NoteSigner.parse, GO_PRIVATE), (NoteVerifier.parse, GO_KEY)):
        for at in range(len(text)):
            changed = f"{text[:at]}{chr(ord(text[at]) + 1)}{text[at + 1 :]}"
            with pytest.raises(ValueError) as raised:
                parse(changed)
            assert changed not in str(raised.value)
            with pytest.raises(ValueError):
                parse(text[:at])


def test_no_changed_byte_of_a_note_is_accepted() -> None:
    raw = GO_NOTE.encode()
    for at in range(len(raw)):
        for bit in (0x01, 0x20, 0x80):
            changed = bytearray(raw)
            changed[at] ^= bit
            with pytest.raises(NoteRefused):
                open_note(bytes(changed), [SIGNER.verifier])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "text\n",
        "text\n\n",
        f"{GO_TEXT}\n{ENOCH}",
        f"{GO_NOTE}more\n",
        f"{GO_TEXT}\n{ENOCH * 17}",
        f"{GO_NOTE[:-1]}",
        f"{GO_NOTE}\x00",
        f"{'x' * 70_000}\n\n{ENOCH}",
        GO_NOTE.replace("\n— ", "\n- "),
        GO_NOTE.replace("PeterNeumann ", "Peter+Neumann "),
    ],
)
def test_what_is_no_signed_note_of_a_known_key_is_refused(note: str) -> None:
    with pytest.raises(NoteRefused):
        open_note(note, [SIGNER.verifier])


def test_a_wrong_signature_of_a_known_key_refuses_a_note_that_another_known_key_signed() -> None:
    other = new_signer("other")
    both = GO_NOTE + other.sign("something else\n").rpartition("\n\n")[2]
    with pytest.raises(NoteRefused):
        open_note(both, [SIGNER.verifier, other.verifier])
    assert open_note(both, [SIGNER.verifier]) == GO_TEXT


def test_a_new_key_signs_under_the_name_of_each_region_and_shows_no_secret() -> None:
    signer = new_signer("kyc.example")
    assert NoteSigner.parse(signer.private_text()) == signer
    regional = signer.named("kyc.example/ph")
    assert regional.verifier.key_id != signer.verifier.key_id
    note = regional.sign("text\n")
    assert open_note(note, [NoteVerifier.parse(str(regional.verifier))]) == "text\n"
    with pytest.raises(NoteRefused):
        open_note(note, [signer.verifier])
    secret = signer.private_text().split("+", 4)[4]
    assert secret not in f"{signer!r} {signer} {[signer]!r}"


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a\u00a0b", "a\nb", "a\x01b"])
def test_a_name_that_a_note_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        new_signer(name)


@pytest.mark.parametrize("text", ["", "no newline", "a\x00\n", "a\r\n"])
def test_a_text_that_a_note_cannot_have_is_not_signed(text: str) -> None:
    with pytest.raises(ValueError, match="newline"):
        SIGNER.sign(text)


def test_a_checkpoint_is_three_lines_and_opens_only_for_its_log() -> None:
    checkpoint = Checkpoint(ORIGIN, 3, leaf_hash(b"x"))
    note = checkpoint.signed(SIGNER)
    assert note.startswith(f"{ORIGIN}\n3\n")
    assert Checkpoint.opened(note, [SIGNER.verifier], ORIGIN) == checkpoint
    with pytest.raises(NoteRefused):
        Checkpoint.opened(note, [SIGNER.verifier], "kyc.example/my")


def test_the_checkpoint_of_the_specification_is_read() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    found = Checkpoint.opened(SIGNER.sign(text), [SIGNER.verifier], "example.com/behind-the-sofa")
    assert found.size == 20_852_163
    assert found.signed(SIGNER) == SIGNER.sign(text)
    extended = Checkpoint.opened(SIGNER.sign(f"{text}extension\n"), [SIGNER.verifier], found.origin)
    assert extended == found


@pytest.mark.parametrize(
    "body",
    [
        "kyc.example/ph\n3\n",
        "kyc.example/ph\n03\n{root}\n",
        "kyc.example/ph\n-3\n{root}\n",
        "kyc.example/ph\n٣\n{root}\n",
        "kyc.example/ph\n99999999999999999999\n{root}\n",
        "kyc.example/ph\n3\nAAAA\n",
        "kyc.example/ph\n3\n{root}x\n",
        "kyc.example/ph\n3\n{root}\n\nx\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(body: str) -> None:
    root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    with pytest.raises(NoteRefused):
        Checkpoint.opened(SIGNER.sign(body.format(root=root)), [SIGNER.verifier], ORIGIN)


def test_a_proof_goes_through_its_text_and_proves_its_entry_alone() -> None:
    entries = [f"entry {number}".encode() for number in range(11)]
    root = Frontier().add(map(leaf_hash, entries)).root
    note = Checkpoint(ORIGIN, 11, root).signed(SIGNER)
    made = Proof(4, entries[4], inclusion_proof(4, 11, nodes_of(entries)), note)
    text = made.text()
    assert text.startswith("c2sp.org/tlog-proof@v1\nindex 4\n")
    assert Proof.parse(text, entries[4]) == made
    assert made.proves([SIGNER.verifier], ORIGIN).root == root
    with pytest.raises(NoteRefused):
        Proof.parse(text, entries[5]).proves([SIGNER.verifier], ORIGIN)
    with pytest.raises(NoteRefused):
        Proof.parse(text.replace("index 4", "index 5"), entries[4]).proves([SIGNER.verifier], ORIGIN)
    with pytest.raises(NoteRefused):
        Proof.parse(text, entries[4]).proves([new_signer("other").verifier], ORIGIN)
    extra = text.replace("index", "extra AAAA\nindex", 1)
    assert Proof.parse(extra, entries[4]) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1\n\nx",
        "c2sp.org/tlog-proof@v2\nindex 0\n\nx",
        "c2sp.org/tlog-proof@v1\nindex 00\n\nx",
        "c2sp.org/tlog-proof@v1\nindex 0\n" + MANY_HASHES + "\nx",
    ],
)
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(NoteRefused):
        Proof.parse(text, b"")
