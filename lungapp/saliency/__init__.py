"""Activation maps: where a model's evidence for a class lies. They show attention, never "the lesion".

``one_pass`` is Grad-CAM out of the forward pass itself; ``many_pass`` holds the methods that ask the model again, by
tf-keras-vis, which is imported only when one of them is asked for.
"""

from lungapp.saliency.one_pass import class_weights, gradcam, shares

__all__ = ["class_weights", "gradcam", "shares"]
