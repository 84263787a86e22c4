"""Scripts that produce the weights LungApp loads, from the IQ-OTH/NCCD dataset.

``python -m train.data`` → manifest and splits · ``python -m train.fit MODEL`` → weights and card ·
``python -m train.evaluate`` → every figure of the cards, recomputed.
Images go through `lungapp.reading` and `lungapp.preprocessing`, the very code the application serves with.
"""
