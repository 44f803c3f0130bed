"""Quantising: what is installed finds the people FP32 finds, and what does not is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import openvino as ov
import pytest
from click.testing import CliRunner, Result

from agent.config.tree import InputSize
from agent.errors import EdgeposeError, ModelError
from agent.poses.agreement import POSSIBLE, Outcome, Tally, Verdict, verdict
from agent.wire.commands import Agreement
from models.cli import cli
from models.judging import ptq
from models.judging.likeness import Finder, Scene, as_input
from models.judging.quantize import BUDGETS, Quantized, evenly, install, quantize, split
from models.judging.run import Runner
from models.judging.sensitivity import Layer, choose
from models.shelf.store import Store
from tests.models import quantizable
from tests.models.quantizable import FRAGILE, NAME, STURDY, frames

JUDGE = partial(verdict, missed_max=0.03, oks_min=0.85)


def nobody_hears(_step: str, _fraction: float) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module", autouse=True)
def _speed_in_an_instant() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.judging.quantize.ROUNDS", 1)
        patch.setattr("models.judging.quantize.ROUND_S", 0.02)
        yield


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Install the small network."""
    return quantizable.install(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def made(small: Store) -> Quantized:
    """Quantise it."""
    return quantize(small.card(NAME), small, list(frames(36)), InputSize(), JUDGE, nobody_hears)


@pytest.fixture
def mine(small: Store, tmp_path: Path) -> Store:
    """Copy the store, to be changed."""
    shutil.copytree(small.folder, tmp_path / "mine")
    return Store(tmp_path / "mine")


def quantizers(model: ov.Model) -> set[str]:
    """The layers that take quantised input."""
    return {
        op.get_friendly_name()
        for op in model.get_ops()
        if any(source.get_node().get_type_name() == "FakeQuantize" for source in op.input_values())
        and op.get_type_name() == "Convolution"
    }


def test_the_layer_that_loses_people_is_left_alone(made: Quantized) -> None:
    """Of two layers the one that eight bits ruin stays as it is; everybody is found."""
    assert quantizers(made.model) == {STURDY}
    assert (made.certificate.layers, made.certificate.layers_quantized) == (2, 1)
    assert made.verdict.outcome is Outcome.PASSED
    assert made.certificate.agreement.missed == 0
    assert made.certificate.agreement.people == 3 * made.certificate.agreement.frames >= 20


def test_everything_quantised_would_lose_them(small: Store) -> None:
    """The network is one that plain quantisation ruins, and by the layer that was measured as the costly one."""
    card = small.card(NAME)
    core = ov.Core()
    model = core.read_model(small.variant(NAME, "FP32"))
    inputs = [as_input(frame, card, InputSize()) for frame in frames(6)]
    finder = Finder(core, card)
    scenes = [Scene(frame, people) for frame, people in zip(inputs, finder.find(model, inputs), strict=True)]
    pictures = [frame.image for frame in inputs]
    full = ptq.quantised(model, card, pictures, only={STURDY, FRAGILE}, correct_bias=False)
    assert quantizers(full) == {STURDY, FRAGILE}
    assert finder.loss(model, scenes) < 1e-6
    assert finder.loss(full, scenes) > 0.5
    for name, bad in ((FRAGILE, True), (STURDY, False)):
        alone = ptq.transplant(model, full, name)
        assert alone is not None
        assert quantizers(alone) == {name}
        assert (finder.loss(alone, scenes) > 0.5) is bad


def test_the_certificate_is_true(made: Quantized, mine: Store) -> None:
    """What is installed is certified, verifies, runs, and finds on other frames what the certificate says."""
    install(made, mine)
    mine.verify(NAME)
    assert mine.precisions(NAME) == ("FP32", "FP16", "INT8")
    certificate = mine.certificate(NAME, "INT8")
    assert certificate == made.certificate
    assert certificate.fp32_sha256 == mine.manifest(NAME).files[f"FP32/{NAME}.bin"].sha256
    assert mine.certificate(NAME, "FP16") is None
    tally = Tally()
    runner = partial(Runner, NAME, mine, device="CPU", size=InputSize(), score_min=POSSIBLE)
    with runner(precision="FP32") as reference, runner(precision="INT8") as tried:
        for frame in frames(5, brightest=200):
            tally.add(reference.poses(frame), tried.poses(frame))
        assert quantizers(ov.Core().read_model(mine.variant(NAME, "INT8"))) == {STURDY}
    agreement = tally.agreement()
    assert (agreement.missed, agreement.invented) == (0, 0)
    assert agreement.mean_oks == pytest.approx(certificate.agreement.mean_oks, abs=0.02)


def test_what_fails_is_tried_with_fewer_layers(small: Store) -> None:
    """As long as it fails a smaller budget is tried; then it is told why."""
    asked: list[Agreement] = []

    def never(agreement: Agreement) -> Verdict:
        asked.append(agreement)
        return JUDGE(agreement.model_copy(update={"missed": agreement.people}))

    made = quantize(small.card(NAME), small, list(frames(36)), InputSize(), never, nobody_hears)
    assert len(asked) == len(BUDGETS)
    assert made.verdict.outcome is Outcome.FAILED
    assert "missed" in made.verdict.reason
    with pytest.raises(ModelError, match="has no INT8 variant here"):
        small.variant(NAME, "INT8")


def test_layers_are_taken_while_they_fit() -> None:
    """In their order, while their losses fit into the budget; one too costly does not end it."""
    layers = [Layer("a", 9, 0.0), Layer("b", 8, 0.03), Layer("c", 7, 0.04), Layer("d", 1, 0.01)]
    assert choose(layers, 0.05) == {"a", "b", "d"}
    assert choose(layers, 0.005) == {"a"}
    with pytest.raises(ModelError, match="no layer can be quantised"):
        choose(layers[1:], 0.005)


def test_frames_are_held_back_in_blocks(small: Store) -> None:
    """A third is held back, in pieces from all along, and neighbours stay together."""
    card = small.card(NAME)
    inputs = [as_input(frame, card, InputSize()) for frame in frames(60)]
    people = Finder(ov.Core(), card).find(ov.Core().read_model(small.variant(NAME, "FP32")), inputs[:1])[0]
    calibration, held = split([Scene(frame, people) for frame in inputs])
    assert len(held) == 20
    assert [scene.frame.seq for scene in held] == [seq for seq in range(60) if seq // 5 % 3 == 2]
    assert not {scene.frame.seq for scene in held} & {scene.frame.seq for scene in calibration}
    assert evenly(range(10), 3) == [0, 3, 6]
    assert evenly(range(2), 3) == [0, 1]


def test_a_full_disk_is_told_before_anything_is_measured(small: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no temporary folder can be made nobody waits minutes to hear of it."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    told: list[str] = []
    with pytest.raises(EdgeposeError, match="no temporary folder can be made") as refusal:
        quantize(small.card(NAME), small, list(frames(36)), InputSize(), JUDGE, lambda step, _share: told.append(step))
    assert ("TMPDIR" in refusal.value.hint, told) == (True, [])


def test_what_is_tried_and_cannot_be_written(small: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A disk that is full by then: which folder it is, and the cure."""

    def full(_network: ov.Model, _xml: Path, *, compress_to_fp16: bool) -> None:
        raise RuntimeError("write failed")

    monkeypatch.setattr(ov, "save_model", full)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ModelError, match=f"tried cannot be written to {tmp_path}") as refusal:
        quantize(small.card(NAME), small, list(frames(36)), InputSize(), JUDGE, nobody_hears)
    assert "TMPDIR" in refusal.value.hint


@pytest.mark.parametrize(("count", "brightest"), [(18, 255), (60, 40)], ids=["few frames", "nobody in view"])
def test_too_few_people_are_an_error(small: Store, count: int, brightest: int) -> None:
    """Nothing can be judged by a handful of people."""
    with pytest.raises(ModelError, match="too few people to judge by") as caught:
        quantize(small.card(NAME), small, list(frames(count, brightest=brightest)), InputSize(), JUDGE, nobody_hears)
    assert "people in view" in caught.value.hint


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A folder of pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for frame in frames(40):
        cv2.imwrite(str(folder / f"{frame.seq:03}.png"), frame.image)
    return folder


def invoke(store: Store, clip: Path, *arguments: str) -> Result:
    command = ["quantize", NAME, "--clip", str(clip), "--models-dir", str(store.folder), *arguments]
    return CliRunner().invoke(cli, command)


@pytest.fixture(autouse=True)
def _terminated_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_command(mine: Store, clip: Path) -> None:
    """For machines: the certificate as one object, and progress that grows to the end as one object a line."""
    done = invoke(mine, clip, "--json", "--progress", "json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    certificate = mine.certificate(NAME, "INT8")
    assert certificate is not None
    assert report == {
        "name": NAME,
        "precision": "INT8",
        "installed": True,
        "bytes": sum(file.size for file in mine.manifest(NAME).files_of("INT8").values()),
        "outcome": "passed",
        "reason": "",
        **certificate.model_dump(mode="json"),
    }
    told = [json.loads(line) for line in done.stderr.splitlines()]
    progress = [news["progress"] for news in told]
    assert progress == sorted(progress)
    assert 0 <= progress[0] < 0.1
    assert 0.85 < progress[-1] <= 1
    assert {"reading frames", "measuring layer 2 of 2", "measuring its speed"} <= {news["step"] for news in told}


def test_command_refuses_what_fails(mine: Store, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the bar nothing is installed, the figures are shown, and it ends in an error; --force installs it.

    Without a terminal a line tells of each step.
    """
    monkeypatch.setattr("models.judging.quantize.BUDGETS", (10.0,))
    before = mine.manifest(NAME)
    done = invoke(mine, clip)
    assert isinstance(done.exception, ModelError)
    assert "not installed" in str(done.exception)
    assert "2 of 2" in done.stdout
    steps = [line.split("% ", 1)[1] for line in done.stderr.splitlines()]
    assert [steps[0], steps[-1]] == ["reading frames", "measuring its speed"]
    assert "quantising 2 of 2 layers" in steps
    assert mine.manifest(NAME) == before
    assert isinstance(invoke(mine, clip, "--force").exception, ModelError)
    mine.verify(NAME)
    assert "INT8" in mine.precisions(NAME)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(mine: Store, clip: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it with 130, without a traceback, and with the store as it was."""
    before = mine.manifest(NAME)
    (temporary := tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "models.cli", "quantize", NAME, "--clip", str(clip), "--progress", "json"]
    with subprocess.Popen(
        [*command, "--models-dir", str(mine.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "layers" in line:
                break
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert mine.manifest(NAME) == before
    assert not any(temporary.iterdir())
    mine.verify(NAME)


def test_nncf_tells_nobody() -> None:
    """NNCF runs without the package that would report its use, and without a framework of its own."""
    code = (
        "import agent, nncf, sys; from nncf.telemetry import wrapper; "
        "print(isinstance(wrapper.telemetry, wrapper.NNCFTelemetryStub), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_without_nncf_it_says_how_to_have_it() -> None:
    """Where the extra is missing it ends at once, with what is needed and how to have it in this very environment."""
    code = (
        "import sys; sys.modules['nncf'] = None; sys.argv = ['models', 'quantize', 'any', '--clip', 'any']; "
        "from models.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    error, hint = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert error.startswith("Error: nncf is not installed here: nncf")
    assert hint.startswith(f"Hint: {sys.executable} -m pip install 'nncf")


def test_help_does_not_import_nncf() -> None:
    """Whoever does not quantise does not wait for it, nor need it."""
    code = "import sys, models.cli, models.judging.quantize; print('nncf' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
