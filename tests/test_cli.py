"""``python -m lungapp``: rows, errors as rows, exit status."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from lungapp.__main__ import main
from lungapp.engine import Engine
from lungapp.registry import LABELS
from lungapp.results import DECISIONS, Faithfulness
from tests.conftest import EXAMPLES


@pytest.fixture(autouse=True)
def toy(toy_weights, monkeypatch):
    monkeypatch.setenv("LUNGAPP_WEIGHTS", str(toy_weights))


MASS, DICOM = str(EXAMPLES / "phantom-mass.png"), str(EXAMPLES / "phantom-nodule.dcm")


def test_json_has_one_object_a_file(capsys):
    assert main([MASS, DICOM, "--model", "basic_cnn", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["file"] for row in rows] == [MASS, DICOM]
    for row in rows:
        assert row["schema"] == "lungapp.analysis/2"
        assert row["model"] == "basic_cnn"
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert tuple(row["probabilities"]) == LABELS
        assert row["models"][0]["thresholds"].keys() == set(LABELS)
        assert row["answer_set"] and row["decision"] in DECISIONS
    assert [row["slice"]["unit"] for row in rows] == ["grey", "HU"]


def test_all_models(capsys):
    assert main([MASS, "--model", "all", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert len(row["predictions"]) == 3
    assert row["agreement"] in (True, False)


def test_text_names_answer_and_scores(capsys):
    assert main([MASS, "--model", "basic_cnn", "--target", "benign"]) == 0
    out, err = capsys.readouterr()
    assert "phantom-mass.png: " in out
    assert all(f"{label} " in out for label in LABELS)
    assert "Cannot be excluded at 90 %: " in out
    assert "not for diagnosis" in err.lower()


def test_a_method_is_chosen_and_its_map_tested(capsys):
    arguments = [MASS, "--model", "basic_cnn", "--target", "malignant", "--method", "layercam", "--faithfulness"]
    assert main([*arguments, "--json"]) == 0
    activation = json.loads(capsys.readouterr().out)["activation"]
    assert (activation["method"], activation["target"]) == ("layercam", "malignant")
    assert len(activation["faithfulness"]["random_falls"]) == 8
    assert main(arguments) == 0
    assert "what the model relied on (falls by " in capsys.readouterr().out


def test_a_bad_file_is_a_row_and_stops_nothing(capsys, tmp_path):
    text = tmp_path / "note.txt"
    text.write_text("no picture")
    blank = tmp_path / "blank.png"
    Image.new("L", (300, 300), 10).save(blank)
    assert main([str(text), str(tmp_path / "absent"), str(blank), MASS, "--model", "basic_cnn", "--json"]) == 1
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row.get("error", {}).get("kind") for row in rows[:2]] == ["UnreadableInput", "UnreadableInput"]
    assert rows[2]["status"] == "rejected"
    assert "probabilities" not in rows[2]
    assert rows[3]["probabilities"]
    assert "Traceback" not in out + err


def test_overlays_are_written(tmp_path, capsys):
    assert main([MASS, "--model", "basic_cnn", "--overlay", str(tmp_path / "new")]) == 0
    with Image.open(tmp_path / "new" / "phantom-mass-basic_cnn.png") as picture:
        assert picture.size == (512, 512)
        assert picture.mode == "RGB"


def test_an_overlay_of_a_map_that_failed_its_test_is_written_on_demand_alone(tmp_path, monkeypatch):
    class Failing(Engine):
        def measure_faithfulness(self, analysis):
            failed = Faithfulness(0.1, 0.9, 0.0, (0.1,))
            return replace(analysis, maps=tuple(replace(map_, faithfulness=failed) for map_ in analysis.maps))

    monkeypatch.setattr("lungapp.__main__.Engine", Failing)
    arguments = [MASS, "--model", "basic_cnn", "--overlay", str(tmp_path), "--faithfulness"]
    assert main(arguments) == 0
    assert list(tmp_path.iterdir()) == []
    assert main([*arguments, "--failing-maps"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["phantom-mass-basic_cnn.png"]


def test_a_model_without_weights_is_named(toy_weights, tmp_path, monkeypatch, capsys):
    for path in toy_weights.glob("basic_cnn.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setenv("LUNGAPP_WEIGHTS", str(tmp_path))
    assert main([MASS, "--model", "resnet50"]) == 1
    assert "resnet50" in capsys.readouterr().out


def test_wrong_settings_and_arguments_exit_with_2(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        main([MASS, "--model", "vgg"])
    assert stop.value.code == 2
    monkeypatch.setenv("LUNGAPP_MAX_BYTES", "many")
    assert main([MASS]) == 2
    assert "LUNGAPP_MAX_BYTES" in capsys.readouterr().err
