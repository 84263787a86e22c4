"""The page's languages: which one a request is answered in, how texts are kept for translation, and the catalogs."""

from __future__ import annotations

import copy
import gc
import gettext
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from lungapp import locale
from lungapp.audit_sentences import recognise
from lungapp.cards import read_card, shipped
from lungapp.errors import InputTooLarge, LungAppError, UnreadableInput
from lungapp.locale import LANGUAGES, catalogs, extract, translate
from lungapp.reading import read_slice
from lungapp.settings import WEIGHTS
from lungapp.texts import Text, joined, plural
from lungapp.ui import build_demo, messages
from lungapp.ui.audit import audit_section
from lungapp.ui.language import current, negotiate, say, speaking
from lungapp.ui.speaking import Speaking
from tests.fakes import SERVER_WARNINGS, FakeEngine

pytestmark = [pytest.mark.filterwarnings(warning) for warning in SERVER_WARNINGS]

WORDS = {
    "Expected {expected}. Received: an empty file.": "Attendu : {expected}. Reçu : un fichier vide.",
    "an image, a DICOM or NIfTI file, or a ZIP archive of them": "une image",
    "malignant": "malin",
    "Model": "Modèle",
    "No slice yet": "Aucune coupe",
    "{n} slice": "{n} coupe",
    "Research use only. Not a medical device, not for diagnosis or treatment.": "Recherche uniquement.",
    "Intended use": "Usage prévu",
    "Remove this file": "Retirer ce fichier",
}


class Known(gettext.NullTranslations):
    """A few words of French."""

    def gettext(self, message: str) -> str:
        return WORDS.get(message, message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return WORDS.get(msgid1, msgid1) + ("" if n < 2 else "s")


@pytest.fixture
def few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locale, "_read", lambda language: Known())


@pytest.mark.parametrize(
    ("query", "kept", "accepted", "language"),
    [
        ("", "", "", "en"),
        ("", "", "fr-CA,fr;q=0.9,en;q=0.8", "fr"),
        ("", "", "de-DE,de;q=0.9,es;q=0.5,ar;q=0.7", "ar"),
        ("", "", "fr;q=0,es", "es"),
        ("", "", "fr;q=zero,*;q=0.1", "en"),
        ("", "ar", "fr", "ar"),
        ("lang=es", "ar", "fr", "es"),
        ("lang=ES-mx", "", "", "es"),
        ("lang=xx&lang=fr", "ar", "", "fr"),
        ("lang=../../etc", "<script>", "x" * 5000, "en"),
    ],
)
def test_the_address_beats_the_choice_beats_the_browser(query: str, kept: str, accepted: str, language: str) -> None:
    assert negotiate(query, {"lungapp-language": kept}, accepted) == language


def test_a_text_is_its_english_and_knows_how_it_was_made() -> None:
    text = Text("At most {most:,} of {label}", most=1000, label="x")
    assert text == "At most 1,000 of x"
    assert json.dumps(text) == '"At most 1,000 of x"'
    for kept in (pickle.loads(pickle.dumps(text)), copy.deepcopy(text), str(LungAppError(text))):
        assert (kept, kept.template, kept.values) == (text, text.template, text.values)
    assert Text("Braces {stay} where there are no values") == "Braces {stay} where there are no values"


def test_an_error_takes_a_template_or_a_whole_message() -> None:
    assert str(InputTooLarge("Expected {most}. Received: more.", most=3)) == "Expected 3. Received: more."
    assert str(UnreadableInput("100 % {odd}")) == "100 % {odd}"
    assert str(pickle.loads(pickle.dumps(InputTooLarge("Expected {most}.", most=3)))) == "Expected 3."


def test_values_that_are_texts_are_translated_too(few_words: None) -> None:
    with pytest.raises(UnreadableInput) as raised:
        read_slice(b"")
    english = "Expected an image, a DICOM or NIfTI file, or a ZIP archive of them. Received: an empty file."
    assert str(raised.value) == english
    assert translate(str(raised.value), "fr") == "Attendu : une image. Reçu : un fichier vide."
    assert translate(joined([str(raised.value), "Unknown words."]), "fr").endswith("vide. Unknown words.")
    assert speaking("fr", lambda: messages.explain(raised.value)) == "Attendu : une image. Reçu : un fichier vide."
    assert messages.explain(raised.value) == english


def test_counts_have_their_forms(few_words: None) -> None:
    one, many = (plural("{n} slice", "{n} slices", count) for count in (1, 5))
    assert (one, many) == ("1 slice", "5 slices")
    assert [translate(text, "fr") for text in (one, many)] == ["1 coupe", "5 coupes"]


def client() -> TestClient:
    page = '<!doctype html>\n<html\n\tlang="en"\n\tstyle="margin: 0"><head><title>x</title></head></html>'
    routes = [
        Route("/", lambda request: HTMLResponse(page)),
        Route("/said", lambda request: PlainTextResponse(f"{current()} {say('malignant')}")),
        Route("/scope", lambda request: PlainTextResponse(request.scope["lungapp.language"])),
    ]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Placed), Middleware(Speaking)]))


class Placed:
    """Stands in for `lungapp.routes.Routing`, whose table knows the application's own addresses alone."""

    def __init__(self, app) -> None:
        self._app = app

    async def __call__(self, scope, receive, send) -> None:
        await self._app(scope | {"lungapp.path": scope.get("path")}, receive, send)


def test_the_page_is_marked_with_its_language_and_the_choice_is_kept(few_words: None) -> None:
    visitor = client()
    first = visitor.get("/", headers={"accept-language": "fr"})
    assert '<html lang="fr" dir="ltr"' in first.text
    assert "set-cookie" not in first.headers, "what the browser asks for is no choice"
    chosen = visitor.get("/?lang=ar", headers={"accept-language": "fr"})
    assert '<html lang="ar" dir="rtl"' in chosen.text
    assert 'navigator,"language",{get:()=>"ar"}' in chosen.text
    assert len(chosen.content) == int(chosen.headers["content-length"])
    assert "HttpOnly" in chosen.headers["set-cookie"]
    again = visitor.get("/", headers={"accept-language": "fr"})
    assert '<html lang="ar"' in again.text
    assert visitor.get("/scope").text == "ar"


def test_every_request_speaks_its_own_language(few_words: None) -> None:
    visitor = client()
    assert visitor.get("/said", headers={"accept-language": "fr"}).text == "fr malin"
    assert visitor.get("/said", headers={"accept-language": ""}).text == "en malignant"


@pytest.fixture(scope="module")
def page() -> object:
    demo = build_demo(FakeEngine())  # type: ignore[arg-type]
    gc.collect()  # what Gradio leaves open is collected here, not in some later test
    return demo


def shown(page: object, language: str) -> str:
    config = speaking(language, lambda: page.config)  # type: ignore[attr-defined]
    return json.dumps(config["components"], default=str, ensure_ascii=False)


def test_the_page_itself_is_translated_for_who_asks(page: object, few_words: None) -> None:
    english = shown(page, "en")
    french = shown(page, "fr")
    for word in ("Modèle", "Aucune coupe", "Recherche uniquement.", "Usage prévu"):
        assert word in french
        assert word not in english
    assert '"predicted"' in french, "what is no word for a reader stays"
    assert shown(page, "en") == english


def test_the_switch_names_each_language_in_itself(page: object) -> None:
    text = shown(page, "es")
    for code, name in LANGUAGES.items():
        assert f'lang=\\"{code}\\" hreflang=\\"{code}\\"' in text
        assert name in text
    assert text.count("aria-current") == 1


def test_the_endpoints_are_described_in_english(page: object, few_words: None) -> None:
    described = [speaking(language, lambda: json.dumps(page.get_api_info())) for language in ("en", "fr")]  # type: ignore[attr-defined]
    assert described[0] == described[1]


@pytest.mark.parametrize("language", catalogs.OTHERS)
def test_no_text_of_the_code_is_missing_from_a_catalog(language: str) -> None:
    assert catalogs.missing(language) == [], "run `make messages`"


@pytest.mark.parametrize("language", catalogs.OTHERS)
def test_translations_keep_the_braces_and_the_markup(language: str) -> None:
    assert catalogs.faults(language) == []


@pytest.mark.parametrize("language", catalogs.OTHERS)
def test_every_text_is_translated(language: str) -> None:
    assert catalogs.untranslated(language) == []


def test_french_signs_do_not_stand_alone_on_a_line() -> None:
    lines = [form for message in catalogs.load("fr") for form in _forms(message.string) if message.id]
    assert [line for line in lines if re.search("(?<=[^ ]) [:;?!»%]|« ", line)] == []
    assert sum("\N{NO-BREAK SPACE}:" in line for line in lines) > 50


def _forms(said: str | tuple[str, ...]) -> tuple[str, ...]:
    return (said,) if isinstance(said, str) else tuple(said)


@pytest.mark.parametrize("language", catalogs.OTHERS)
def test_what_the_cards_say_of_the_audit_is_translated(language: str) -> None:
    audits = [card.data.get("audit", {}) for card in (read_card(spec, WEIGHTS) for spec in shipped(WEIGHTS))]
    sentences = [sentence for audit in audits for sentence in audit.get("words", [])]
    assert sentences
    for sentence in sentences:
        known = recognise(sentence)
        assert known == sentence
        assert translate(known, language) != sentence


def test_an_unknown_sentence_of_a_card_is_marked_as_english() -> None:
    card = {"audit": {"conditions": {"clean": {"auc_malignant": 0.9}}, "words": ["It likes <b>rulers</b>."]}}
    told = speaking("fr", lambda: audit_section("CNN", card))
    assert '<li lang="en">It likes &lt;b&gt;rulers&lt;/b&gt;.</li>' in told


def test_gradios_names_for_screen_readers_are_brought_along(few_words: None) -> None:
    visitor = client()
    french = visitor.get("/", headers={"accept-language": "fr"}).text
    assert '["Remove this file", "Retirer ce fichier"]' in french
    assert "MutationObserver" not in visitor.get("/", headers={"accept-language": "en"}).text


@pytest.mark.parametrize("language", catalogs.OTHERS)
def test_a_catalog_is_read_as_it_stands(language: str) -> None:
    for message in catalogs.load(language):
        if isinstance(message.id, str) and message.id and message.string:
            assert translate(message.id, language) == message.string


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ('say("One.")', ("One.", "")),
        ("f\"<p>{say_html('In a string.')}</p>\"", ("In a string.", "")),
        ('raise UnreadableInput("Expected {x}.", x=1)', ("Expected {x}.", "")),
        ('plural("{n} one", "{n} many", 3)', ("{n} one", "{n} many")),
        ('mark(\n    "Over two "\n    "lines."\n)', ("Over two lines.", "")),
    ],
)
def test_texts_are_found_in_the_code(tmp_path: Path, call: str, found: tuple[str, str]) -> None:
    (tmp_path / "some.py").write_text(f"{call}\nother('Not this.')\nsay(name)\n", encoding="utf-8")
    assert [(text.one, text.many) for text in extract.find_texts(tmp_path)] == [found]


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """What is wrong with a French catalog of one text."""
    file = tmp_path / "lungapp.po"
    monkeypatch.setattr(catalogs, "catalog_file", lambda language: file)

    def faults(entry: str) -> list[str]:
        header = 'msgid ""\nmsgstr ""\n"Language: fr\\n"\n"Plural-Forms: nplurals=2; plural=(n > 1);\\n"\n\n'
        file.write_text(f"{header}{entry}\n", encoding="utf-8")
        return catalogs.faults("fr")

    return faults


def test_a_catalogs_faults_are_found(catalog: Callable[[str], list[str]]) -> None:
    assert catalog('msgid "Of {n:,}"\nmsgstr "Sur {n:,}"') == []
    assert "other braces" in catalog('msgid "Of {n:,}"\nmsgstr "Sur {n}"')[0]
    assert "other braces" in catalog('msgid "Of {n}"\nmsgstr "Sur {m}"')[0]
    assert "brace too many" in catalog('msgid "Of {n}"\nmsgstr "Sur {n"')[0]
    assert "other markup" in catalog('msgid "Of"\nmsgstr "<b>Sur</b>"')[0]
    assert "a space" in catalog('msgid "Of"\nmsgstr "Sur "')[0]
    assert catalog('msgid "{n} of"\nmsgid_plural "{n} ofs"\nmsgstr[0] "un"\nmsgstr[1] "{n} sur"') == []
    assert "other braces" in catalog('msgid "{n} of"\nmsgid_plural "{n} ofs"\nmsgstr[0] "{m}"\nmsgstr[1] "{n}"')[0]


def test_a_request_that_is_no_page_is_left_alone() -> None:
    assert client().get("/nothing").status_code == 404
