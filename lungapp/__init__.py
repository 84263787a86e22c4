"""LungApp: scores an axial chest CT slice as normal, benign or malignant, and shows where the model looked.

The way of the data, one direction::

    bytes ── reading.read_slice ──▶ Slice(pixels, unit "HU" | "grey", info)
          ── quality.assess ──────▶ QualityReport (accept / warn / reject: then nothing is scored)
          ── preprocessing ───────▶ (224, 224, 1) float32 in [0, 1]
          ── inference, once ─────▶ logits → Prediction, and feature maps → ActivationMap
          ── engine.Engine ───────▶ Analysis
          ── rendering, report ───▶ pictures and JSON ──▶ lungapp.ui, python -m lungapp

Two nouns and a verb::

    from lungapp import Engine, read_slice
    analysis = Engine().analyse(read_slice("examples/phantom-mass.png"))
    print(analysis.decision, analysis.prediction.answer_set, analysis.prediction.scores())

Importing this package loads no model; the first analysis does. Research software: it does not diagnose.
"""

from lungapp.engine import Engine
from lungapp.reading import read_slice

__version__ = "0.1.0"
__all__ = ["Engine", "__version__", "read_slice"]
