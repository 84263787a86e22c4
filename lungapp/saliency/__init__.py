"""Activation maps: where a model's evidence for a class lies. They show attention, never "the lesion".

``one_pass`` holds the maps that come out of the forward pass itself, ``scorecam`` the one that asks the served model
again. ``smoothgrad`` alone needs gradients, by tf-keras-vis and TensorFlow: imported only when it is asked for.
"""

from lungapp.saliency.one_pass import ONE_PASS, class_weights, gradcam, gradcam_plus_plus, layercam

__all__ = ["ONE_PASS", "class_weights", "gradcam", "gradcam_plus_plus", "layercam"]
