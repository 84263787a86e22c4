"""Hashed passwords: made, read, checked, and never shown."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from lungapp import users
from lungapp.errors import InvalidSetting
from lungapp.settings import Settings

PASSWORD = "a long enough pass phrase"
HASH = users.hash_password(PASSWORD)


def test_the_right_password_and_no_other() -> None:
    known = {"ada": HASH}
    assert users.verify(known, "ada", PASSWORD)
    for name, password in (("ada", PASSWORD + " "), ("ada", ""), ("bob", PASSWORD), ("", ""), ("ada", "\ud800")):
        assert not users.verify(known, name, password)


def test_nobody_can_log_in_as_the_stand_in_for_unknown_names() -> None:
    assert not users.verify({}, "bob", "")


def test_equal_passwords_have_unequal_hashes() -> None:
    assert users.hash_password(PASSWORD) != HASH
    assert PASSWORD not in HASH


def test_pairs_are_read_from_lines_blanks_and_commas() -> None:
    other = users.hash_password("another pass phrase")
    for between in ("\n", " ", ",", ",\n  "):
        assert users.read_users(f"ada:{HASH}{between}b.o@b-1:{other}") == {"ada": HASH, "b.o@b-1": other}


@pytest.mark.parametrize(
    "text",
    [
        "ada",
        f"ada:{PASSWORD.replace(' ', '')}",
        f"ada:{HASH},bob:secretsecret",
        f"a/da:{HASH}",
        f"ada:{HASH[:-3]}",
        f"ada:{HASH.replace('.32768.', '.32767.')}",
        f"ada:{HASH.replace('.32768.', '.1048576.')}",
        f"ada:{HASH.replace('.8.1.', '.8.0.')}",
    ],
)
def test_anything_else_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"LUNGAPP_USERS.*Received: another text as pair \d") as caught:
        Settings.from_env({"LUNGAPP_USERS": text})
    assert HASH[-20:] not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("weak", [".16384.8.1.", ".2.1.1.", ".32768.1.1.", ".32768.7.4."])
def test_a_hash_that_is_cheap_to_guess_is_refused_with_its_name(weak: str) -> None:
    with pytest.raises(
        InvalidSetting, match=r"at least scrypt\.32768\.8\.1\. Received: a weaker one for ada"
    ) as caught:
        users.read_users(f"ada:{HASH.replace('.32768.8.1.', weak)}")
    assert "python -m lungapp.users ada" in str(caught.value) and HASH[-20:] not in str(caught.value)


def test_a_name_stands_once() -> None:
    with pytest.raises(InvalidSetting, match="ada twice"):
        users.read_users(f"ada:{HASH} ada:{HASH}")


def test_settings_do_not_show_hashes() -> None:
    settings = Settings.from_env({"LUNGAPP_USERS": f"ada:{HASH}"})
    assert settings.users == {"ada": HASH}
    assert HASH not in repr(settings)


def test_the_command_makes_a_pair_that_works() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lungapp.users", "ada"],
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert users.verify(users.read_users(done.stdout), "ada", PASSWORD)
    assert PASSWORD not in done.stdout + done.stderr


def test_the_command_refuses_short_passwords_and_odd_names(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    assert users.main(["ada"]) == 1
    assert users.main(["a da"]) == 2
    assert users.main([]) == 2
    assert "short" not in capsys.readouterr().err
