"""Every variable, its default, and what is refused."""

from pathlib import Path

import pytest

from lungapp import settings as settings_module
from lungapp.errors import InvalidSetting, LungAppError
from lungapp.registry import DEFAULT_MODEL, MODELS
from lungapp.settings import RANGES, WEIGHTS, Settings

LIMITS = {f"LUNGAPP_{name.upper()}": allowed for name, allowed in RANGES.items()}


def test_defaults():
    settings = Settings.from_env({})
    assert settings == Settings()
    assert settings.limits.max_bytes == 512 * 2**20
    assert settings.limits.max_pixels == 40_000_000
    assert settings.default_model == DEFAULT_MODEL
    assert settings.weights == WEIGHTS == Path(__file__).resolve().parent.parent / "weights"


def test_every_variable_is_read(tmp_path):
    settings = Settings.from_env(
        {
            "LUNGAPP_MAX_BYTES": "1048576",
            "LUNGAPP_MAX_PIXELS": " 262144 ",
            "LUNGAPP_WEIGHTS": str(tmp_path),
            "LUNGAPP_DEFAULT_MODEL": MODELS[0].name,
            "LUNGAPP_DATA": str(tmp_path),
            "LUNGAPP_PRECISION": "bf16",
        }
    )
    assert settings.limits.max_bytes == 1048576
    assert settings.limits.max_pixels == 262144
    assert settings.weights == tmp_path
    assert settings.default_model == MODELS[0].name
    assert settings.data == tmp_path
    assert settings.precision == "bf16"


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("LUNGAPP_MAX_BYTES", "2048")
    assert Settings.from_env().limits.max_bytes == 2048


@pytest.mark.parametrize("name", [*LIMITS, "LUNGAPP_WEIGHTS", "LUNGAPP_DEFAULT_MODEL", "LUNGAPP_DATA", "LUNGAPP_MCP"])
def test_empty_means_default(name):
    assert Settings.from_env({name: " "}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in LIMITS for value in ("0", "-1", "1e6", "64 MiB")],
        ("LUNGAPP_MAX_BYTES", "1_048_576"),
        ("LUNGAPP_MAX_BYTES", "١٠٤٨٥٧٦"),
        ("LUNGAPP_MAX_BYTES", "9" * 5000),
        *[(name, str(value)) for name, (low, high) in LIMITS.items() for value in (low - 1, high + 1)],
        ("LUNGAPP_WEIGHTS", "/no/such/folder"),
        ("LUNGAPP_PRECISION", "fp16"),
        ("LUNGAPP_DEFAULT_MODEL", "vgg16"),
        ("LUNGAPP_DATA", "/no/such/folder"),
        ("LUNGAPP_MCP", "yes"),
    ],
)
def test_bad_values_name_the_variable(name, value):
    with pytest.raises(InvalidSetting, match=f"(?s){name}.*Received: .+") as caught:
        Settings.from_env({name: value})
    assert isinstance(caught.value, LungAppError)
    assert len(str(caught.value)) < 300


def test_mcp_is_on_where_its_package_is(monkeypatch):
    monkeypatch.setattr(settings_module, "find_spec", lambda name: object())
    assert Settings.from_env({"LUNGAPP_MCP": "1"}).mcp
    assert not Settings.from_env({"LUNGAPP_MCP": "0"}).mcp
    monkeypatch.setattr(settings_module, "find_spec", lambda name: None)
    with pytest.raises(InvalidSetting, match=r"pip install 'gradio\[mcp\]'"):
        Settings.from_env({"LUNGAPP_MCP": "1"})


@pytest.mark.parametrize(("name", "allowed"), LIMITS.items())
def test_both_ends_of_a_range_are_allowed(name, allowed):
    for value in allowed:
        limits = Settings.from_env({name: str(value)}).limits
        assert getattr(limits, name.removeprefix("LUNGAPP_").lower()) == value
