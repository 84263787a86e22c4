"""The "About" tab: what the application is for, where its limits are, and how to call it from a program."""

from __future__ import annotations

import gradio as gr

from lungapp import __version__
from lungapp.methods import DEFAULT_METHOD, WITHOUT_TENSORFLOW, available_methods, has_tensorflow
from lungapp.texts import mark
from lungapp.ui.language import say
from lungapp.ui.translated import composed

ADDRESS = "http://127.0.0.1:7860"
"""Stands in the snippet until the page puts its own address there."""

SNIPPET = f"""from gradio_client import Client, handle_file

client = Client("{ADDRESS}")
report, overlay = client.predict(
    file=handle_file("slice.png"),
    model="advanced_cnn",
    api_name="/analyse",
)
print(report["status"], report.get("decision"), report.get("answer_set"), report.get("probabilities"))
print(report.get("statement"))
print(overlay)  # path of the overlay picture, a PNG file
"""

CURL = f"""HERE={ADDRESS}
FILE=$(curl -s -F "files=@slice.png" $HERE/gradio_api/upload | cut -d '"' -f 2)
SLICE='{{"path": "'$FILE'", "meta": {{"_type": "gradio.FileData"}}}}'
ASKED=$(curl -s $HERE/gradio_api/call/analyse -H "Content-Type: application/json" \\
  -d '{{"data": ['"$SLICE"', "advanced_cnn", "predicted", "{DEFAULT_METHOD}", false, 0, false, false]}}' | \\
  cut -d '"' -f 4)
curl -s -N $HERE/gradio_api/call/analyse/$ASKED

# The same in one request, without a queue and without a file on the server: JSON with "report" and "overlay".
# Where the page asks for a login: curl -u NAME, which asks for the password.
curl -s --data-binary @slice.png "$HERE/api/analyse?model=advanced_cnn"
"""

USE_OWN_ADDRESS = f"""(code) => {{
    const here = window.location.origin + window.location.pathname.replace(/\\/$/, "");
    return code.replace("{ADDRESS}", here);
}}"""

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        mark("Limits"),
        (
            mark(
                "The models learnt from about 1,050 distinct slices of 110 patients from one hospital and one family "
                "of scanners. Other scanners, reconstructions and populations were not measured."
            ),
            mark(
                "An answer names the classes that cannot be excluded at 90 %: they are chosen so that the true class "
                "is among them for at least 90 % of the slices of each class, on patients not seen before who are like "
                "those of the dataset. “Malignant” means that the two others are excluded, “not malignant” that "
                "malignant is; else the answer is undecided."
            ),
            mark("Benign cases come from 15 patients only, and could not be told from normal ones."),
            mark(
                "Where the processor can, the models compute in bfloat16 instead of float32, which is faster. On "
                "held-out slices no probability then differed by more than 0.005; reports say which it was."
            ),
            mark(
                "Much of what tells the classes apart in this dataset is how the pictures were made, not what they "
                "show. The Performance tab therefore gives figures with similar slices kept apart, beside the usual "
                "ones."
            ),
            mark(
                "One slice is not a scan: a nodule may lie on another slice. The Series tab scores many, one by one; "
                "what it says of all of them together was not validated on patients."
            ),
            mark(
                "The coloured map shows what the model weighed. It does not outline a lesion, and it can be wrong "
                "where the class is right. Each map is tested, and shown unasked only where blurring its hottest "
                "tenth lowers the probability more than blurring other tenths does."
            ),
        ),
    ),
    (
        mark("Privacy"),
        (
            mark(
                "An upload lies in a temporary folder of its own and is deleted when you open another file or leave. "
                "Nothing is added to a dataset, and no name, date or identifier is taken out of a file; what was left "
                "behind stands under each answer."
            ),
            mark("Text inside a picture stays there: look for it before you pass an overlay on."),
            mark("Pictures on this page are not written to the server's disk. No usage statistics are sent to anyone."),
            mark("The language that you choose is kept in a cookie of your browser; it holds nothing else."),
            mark(
                "If this page runs on a computer that is not yours, its operator can see what you upload. Remove "
                "identifiers first."
            ),
        ),
    ),
)


def text() -> str:
    """What stands above the snippets, as Markdown."""
    purpose = say(
        "LungApp scores single axial chest CT slices as normal, benign or malignant and shows where the model looked. "
        "It is made for research and teaching."
    )
    paper = "[doi:10.1109/ICCV.2017.74](https://doi.org/10.1109/ICCV.2017.74)"
    cited = say(
        "The maps are class activation maps, Grad-CAM (Selvaraju et al., 2017, {paper}) among them; SmoothGrad is "
        "computed by {library}.",
        paper=paper,
        library="[tf-keras-vis](https://github.com/keisen/tf-keras-vis)",
    )
    if not has_tensorflow():
        cited = f"{cited} {say(WITHOUT_TENSORFLOW)}"
    reports = say(
        "The page speaks several languages. Files to take away (PDF, JSON, CSV, DICOM) and what programs get are "
        "English."
    )
    sections = [
        f"## {say('Intended use')}\n{purpose}",
        *(f"## {say(title)}\n" + "\n".join(f"- {say(item)}" for item in items) for title, items in SECTIONS),
        f"## {say('Languages')}\n{reports}",
        f"## {say('Data and citation')}\n{DATASET} {cited}",
        f"## {say('Use from a program')}\n{say('{command}, then:', command='`pip install gradio_client`')}",
    ]
    return "\n\n".join(sections)


DATASET = (
    "Alyasriy and AL-Huseiny, *The IQ-OTH/NCCD lung cancer dataset*, Mendeley Data, 2023, "
    "[doi:10.17632/bhmdr45bh2](https://doi.org/10.17632/bhmdr45bh2)."
)


def after() -> str:
    """What stands below the snippets, as Markdown."""
    calls = say(
        "`model` is `basic_cnn`, `resnet50`, `advanced_cnn` or `all`; `target` is `predicted` or a class. `decision` "
        "is `malignant`, `not_malignant` or `undecided`, `answer_set` the classes that cannot be excluded, `statement` "
        "both in words, with what stands behind them. A slice that "
        "does not pass the input check comes back with the status `rejected` and without probabilities, unless "
        "`override` is true; every output then says so. `slice_number` picks a slice of a file that holds several. "
        "`method` is one of {methods}; `faithfulness=True` also tests the map, and one that fails is "
        "left out of the overlay unless `failing_maps` is true. `/analyse_series` takes `files`, "
        "`model` and `override` and gives a row a slice, their aggregate, which was not validated on patients, and the "
        "rows as CSV. `/models` gives the model cards. Their parameters, with names and types, stand behind the link "
        "on the API at the foot of the page.",
        methods=say(", ").join(f"`{method.name}`" for method in available_methods()),
    )
    tools = say(
        "Where the operator has set `LUNGAPP_MCP=1`, the same three are tools of an MCP server at `/gradio_api/mcp/`. "
        "An address that ends in `?example=phantom-mass` opens the page with that example, one that ends in `?lang=en` "
        "in English."
    )
    version = say(", ").join([f"LungApp {__version__}", say("MIT licence.")])
    return f"{calls}\n\n{tools}\n\n{version}"


def curl_note() -> str:
    return say("Or with curl; the answer is a stream whose last event holds the report:")


def build_about_tab(demo: gr.Blocks) -> None:
    """Lay out the tab inside the current Blocks, ``demo``."""
    gr.Markdown(composed(text), elem_classes="la-prose")
    code = gr.Code(SNIPPET, label="Python", interactive=False, wrap_lines=True, elem_classes="la-prose")
    gr.Markdown(composed(curl_note), elem_classes="la-prose")
    # Uncoloured: the colours of the shell's words are too pale to be read on white.
    curl = gr.Code(CURL, label="curl", interactive=False, wrap_lines=True, elem_classes="la-prose")
    gr.Markdown(composed(after), elem_classes="la-prose")
    for snippet in (code, curl):
        demo.load(None, snippet, snippet, js=USE_OWN_ADDRESS, api_visibility="private")
