"""SUIT envelopes and command sequences: the draft's own examples, ours, and whatever somebody else may send."""

import dataclasses
import hashlib
import re
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import DamagedError, RemoteProtocolError
from edgeagent.seal import strict
from edgeagent.seal.cose import UnknownKeyError
from edgeagent.seal.keys import SigningKey, VerifyKey
from edgeagent.update import commands, suit
from edgeagent.update.commands import Device, NotForThisDeviceError, Step

EXAMPLES = Path(__file__).parents[3] / "shared/data/suit/manifest-spec/examples"
VENDOR = bytes.fromhex("fa6b4a53d5ad5fdfbe9de663e4d41ffe")
CLASS = bytes.fromhex("1492af1425695e48bf429b2d51f2ab45")
FIRST = bytes.fromhex("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210")
SECOND = bytes.fromhex("0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff")
DEVICE = Device(VENDOR, frozenset({CLASS}), b"d" * 16, (0, 0, 0))


@dataclasses.dataclass(frozen=True)
class FullySpecified:
    """Our Ed25519 keys under the algorithm number that SUIT asks for."""

    key: SigningKey | VerifyKey
    algorithm: int = suit.ED25519

    @property
    def kid(self):
        return self.key.kid

    def sign(self, message):
        return self.key.sign(message)

    def verify(self, signature, message):
        return self.key.verify(signature, message)


class Es256:
    """The published test key of the draft's examples."""

    algorithm, kid = -7, b""

    def __init__(self):
        pem = (EXAMPLES / "private_key.pem").read_bytes()
        self._public = serialization.load_pem_private_key(pem, None).public_key()

    def verify(self, signature, message):
        halves = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
        try:
            self._public.verify(encode_dss_signature(*halves), message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


AUTHOR = SigningKey.from_seed(bytes(32))
SIGNER, VERIFIER = FullySpecified(AUTHOR), FullySpecified(AUTHOR.public)


def example(number):
    """The signed envelope of the draft's example."""
    text = (EXAMPLES / f"example{number}.txt").read_text()
    blocks = re.findall(r"^~~~\n([0-9a-f\n]+)~~~", text, re.MULTILINE)
    return bytes.fromhex(max(blocks, key=len).replace("\n", ""))


drafts = pytest.mark.skipif(not EXAMPLES.exists(), reason="../shared/data is absent")


def said(step: Step):
    return step.do, step.component, step.parameters.digest, step.parameters.size, step.parameters.uri


@drafts
@pytest.mark.parametrize("number", range(6))
def test_the_signatures_of_the_drafts_examples(number):
    manifest, _ = suit.verify(suit.parse(example(number)), [Es256()])
    assert manifest.sequence == number
    assert not suit.parse(example(number)).payloads


@drafts
@pytest.mark.parametrize("number", range(6))
def test_what_is_parsed_is_written_the_same(number):
    assert suit.encode(suit.parse(example(number))) == example(number)


@drafts
@pytest.mark.parametrize(
    ("number", "section", "expected"),
    [
        (0, suit.VALIDATE, [(commands.IMAGE_MATCH, 0, FIRST, 34768, None)]),
        (0, suit.INVOKE, [(commands.INVOKE, 0, FIRST, 34768, None)]),
        (0, suit.INSTALL, []),
        (
            1,
            suit.INSTALL,
            [
                (commands.FETCH, 0, FIRST, 34768, "http://example.com/file.bin"),
                (commands.IMAGE_MATCH, 0, FIRST, 34768, "http://example.com/file.bin"),
            ],
        ),
        (
            5,
            suit.INSTALL,
            [
                (commands.FETCH, 0, FIRST, 34768, "http://example.com/file1.bin"),
                (commands.IMAGE_MATCH, 0, FIRST, 34768, "http://example.com/file1.bin"),
                (commands.FETCH, 1, SECOND, 76834, "http://example.com/file2.bin"),
                (commands.IMAGE_MATCH, 1, SECOND, 76834, "http://example.com/file2.bin"),
            ],
        ),
    ],
)
def test_what_the_drafts_examples_ask_for(number, section, expected):
    manifest, _ = suit.verify(suit.parse(example(number)), [Es256()])
    assert [said(step) for step in commands.steps(manifest, section, DEVICE)] == expected


@drafts
@pytest.mark.parametrize(("slot", "digest", "file"), [(0, FIRST, "file1.bin"), (1, SECOND, "file2.bin")])
def test_two_slots_of_the_drafts_example(slot, digest, file):
    manifest, _ = suit.verify(suit.parse(example(3)), [Es256()])
    fetch, match = commands.steps(manifest, suit.INSTALL, dataclasses.replace(DEVICE, slots=(slot,)))
    assert fetch.parameters.uri == f"http://example.com/{file}"
    assert match.parameters.digest == digest


@drafts
def test_a_third_slot_is_in_no_branch():
    manifest, _ = suit.verify(suit.parse(example(3)), [Es256()])
    with pytest.raises(NotForThisDeviceError, match="slot 1, which isn't this one"):
        commands.steps(manifest, suit.INSTALL, dataclasses.replace(DEVICE, slots=(2,)))


@drafts
def test_a_command_outside_the_subset_is_refused():
    manifest, _ = suit.verify(suit.parse(example(4)), [Es256()])
    with pytest.raises(RemoteProtocolError, match="command 22, which edgeagent doesn't obey"):
        commands.steps(manifest, suit.INSTALL, DEVICE)


@drafts
@pytest.mark.parametrize("change", [{"vendor": b"x" * 16}, {"classes": frozenset({b"x" * 16})}])
def test_another_device(change):
    manifest, _ = suit.verify(suit.parse(example(1)), [Es256()])
    with pytest.raises(NotForThisDeviceError):
        commands.steps(manifest, suit.INSTALL, dataclasses.replace(DEVICE, **change))


# ---- ours --------------------------------------------------------------------------------------------------------


def sequence(*words):
    return strict.dumps(list(words))


IMAGE = b"image"
TAKES = {
    commands.IMAGE_DIGEST: suit.digest_of(IMAGE),
    commands.IMAGE_SIZE: len(IMAGE),
    commands.URI: "#image",
}
SHARED = sequence(commands.OVERRIDE_PARAMETERS, TAKES)
MANIFEST = suit.Manifest(
    7, ((b"image",),), SHARED, {suit.INSTALL: sequence(commands.FETCH, 2, commands.IMAGE_MATCH, 15)}
)
SEALED = suit.encode(
    dataclasses.replace(suit.sign(suit.encode_manifest(MANIFEST), [SIGNER]), payloads={"#image": IMAGE})
)


def test_signed_and_verified():
    envelope = suit.parse(SEALED)
    manifest, key = suit.verify(envelope, [FullySpecified(SigningKey.from_seed(b"x" * 32).public), VERIFIER])
    assert (manifest, key) == (MANIFEST, VERIFIER)
    assert envelope.payloads == {"#image": IMAGE}
    assert (
        hashlib.sha256(IMAGE).digest() == commands.steps(manifest, suit.INSTALL, DEVICE)[0].parameters.digest
    )


def test_another_author():
    with pytest.raises(UnknownKeyError):
        suit.verify(suit.parse(SEALED), [FullySpecified(SigningKey.from_seed(b"x" * 32).public)])


def test_the_algorithm_belongs_to_the_key():
    with pytest.raises(RemoteProtocolError, match="isn't its key's"):
        suit.verify(suit.parse(SEALED), [AUTHOR.public])


def test_two_authors_and_one_of_them_is_known():
    other = FullySpecified(SigningKey.from_seed(b"x" * 32))
    envelope = suit.sign(suit.encode_manifest(MANIFEST), [other, SIGNER])
    assert suit.verify(envelope, [VERIFIER])[1] == VERIFIER


def test_a_manifest_that_was_exchanged():
    other = suit.encode_manifest(dataclasses.replace(MANIFEST, sequence=8))
    with pytest.raises(RemoteProtocolError, match="digest of the manifest is wrong"):
        suit.verify(dataclasses.replace(suit.parse(SEALED), manifest=other), [VERIFIER])


def test_a_severed_sequence():
    install = MANIFEST.sequences[suit.INSTALL]
    members = strict.loads(suit.encode_manifest(MANIFEST), limit=1 << 20, what="")
    members[suit.INSTALL] = strict.loads(suit.digest_of(strict.dumps(install)), limit=1 << 20, what="")
    envelope = suit.sign(strict.dumps(members), [SIGNER])
    with pytest.raises(RemoteProtocolError, match="install sequence was severed"):
        suit.verify(envelope, [VERIFIER])
    whole = dataclasses.replace(envelope, severed={suit.INSTALL: install})
    assert suit.verify(whole, [VERIFIER])[0] == MANIFEST
    changed = dataclasses.replace(envelope, severed={suit.INSTALL: sequence(commands.FETCH, 15)})
    with pytest.raises(RemoteProtocolError, match="digest of member 20 is wrong"):
        suit.verify(changed, [VERIFIER])


@given(st.integers(0, 8 * len(SEALED) - 1))
def test_no_bit_can_be_changed_but_in_payloads(bit):
    data = bytearray(SEALED)
    data[bit // 8] ^= 1 << bit % 8
    try:
        envelope = suit.parse(bytes(data))
        manifest, _ = suit.verify(envelope, [VERIFIER])
    except DamagedError:
        return
    # Payloads are held by the digests in the manifest.
    assert manifest == MANIFEST
    assert dataclasses.replace(envelope, payloads={"#image": IMAGE}) == suit.parse(SEALED)
    assert envelope.payloads != {"#image": IMAGE}


@given(st.binary(max_size=200))
def test_any_bytes(data):
    with pytest.raises(DamagedError):
        suit.verify(suit.parse(data), [VERIFIER])


def install(*words, shared=SHARED):
    return suit.Manifest(1, ((b"a",), (b"b",)), shared, {suit.INSTALL: sequence(*words)})


NESTED = sequence(commands.FETCH, 2)
for _ in range(commands.MAX_DEPTH + 1):
    NESTED = sequence(commands.TRY_EACH, [NESTED, NESTED])


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (install(99, 0), "command 99"),
        (install(-1, b"custom"), "command -1"),
        (install(commands.FETCH, 2, shared=None), "without its digest"),
        (install(commands.FETCH), "no array of commands and arguments"),
        (install(commands.SET_COMPONENT_INDEX, 2), "isn't from 0 to 1"),
        (install(commands.SET_COMPONENT_INDEX, []), "isn't from 0 to 1"),
        (install(commands.OVERRIDE_PARAMETERS, {}), "parameters are no map"),
        (install(commands.OVERRIDE_PARAMETERS, {99: 0}), "parameter 99"),
        (install(commands.OVERRIDE_PARAMETERS, {14: commands.MAX_IMAGE + 1}), "a number isn't from 0"),
        (install(commands.OVERRIDE_PARAMETERS, {3: b"short"}), "digest"),
        (install(commands.OVERRIDE_PARAMETERS, {1: b"short"}), "no UUID"),
        (install(commands.OVERRIDE_PARAMETERS, {21: ""}), "URI"),
        (install(commands.VENDOR_IDENTIFIER, 15), "doesn't say which"),
        (install(commands.TRY_EACH, [sequence(commands.FETCH, 2)]), "less than two"),
        (install(commands.TRY_EACH, [NESTED, None]), "nested deeper"),
        (install(*[commands.FETCH, 2] * (commands.MAX_COMMANDS + 1)), "more than 256 commands"),
        (install(commands.FETCH, 2, shared=sequence(commands.INVOKE, 2)), "the shared sequence"),
    ],
)
def test_sequences_that_are_refused(manifest, words):
    with pytest.raises(RemoteProtocolError, match=words):
        commands.steps(manifest, suit.INSTALL, DEVICE)


def branch(class_id, size):
    return sequence(
        commands.OVERRIDE_PARAMETERS, {commands.CLASS_IDENTIFIER: class_id, commands.IMAGE_SIZE: size},
        commands.CLASS_IDENTIFIER, 15,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("classes", "size"), [({b"a" * 16}, 1), ({b"b" * 16}, 2), ({b"a" * 16, b"b" * 16}, 1)]
)
def test_the_first_branch_that_fits_counts(classes, size):
    each = install(commands.TRY_EACH, [branch(b"a" * 16, 1), branch(b"b" * 16, 2)], commands.IMAGE_MATCH, 15)
    (step,) = commands.steps(each, suit.INSTALL, dataclasses.replace(DEVICE, classes=frozenset(classes)))
    assert step.parameters.size == size


def test_no_branch_need_fit_where_the_last_is_nothing():
    each = install(
        commands.TRY_EACH, [branch(b"a" * 16, 1), branch(b"b" * 16, 2), None], commands.IMAGE_MATCH, 15
    )
    (step,) = commands.steps(each, suit.INSTALL, DEVICE)
    assert step.parameters.size == len(IMAGE)
    assert step.parameters.class_ is None


def test_several_components_at_once():
    both = install(
        commands.SET_COMPONENT_INDEX, [0, 1], commands.OVERRIDE_PARAMETERS, TAKES, commands.FETCH, 2
    )  # fmt: skip
    assert [step.component for step in commands.steps(both, suit.INSTALL, DEVICE)] == [0, 1]
