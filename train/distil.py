"""Teach ResNet-50 and the Basic CNN to say what the Advanced CNN's frozen body says of a picture; no label is told.

Feature maps are the aim (Hinton et al. 2015; FitNets, Romero et al. 2015). ResNet-50 has aims at three depths (deeply
supervised nets, Lee et al. 2015), so that its early layers learn at once. Crops of pictures are shown first, since they
cost a third and teach the same, then whole pictures, so that the averages of batch normalisation fit what is served.
The student's pictures are noised and the teacher's are not, so that noise tells it nothing.
PyTorch does the work: it trains ResNet-50 twice as fast on a processor as TensorFlow. What is learnt is given to the
Keras network (`fill_basic`, `fill_resnet`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import keras
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lungapp.models import IMAGENET_MEAN_BGR, SUMMARY
from train.pictures import Crop, Picture, drawn
from train.style import noised

CROP, CROPS, WHOLE = 128, 48, 16
"""Pixels of a crop, crops a step, and pictures a step once they are whole."""

SHARE_WHOLE = 0.1
"""Share of the steps whose pictures are whole, the last ones."""

RATE = 1.5e-3
SAVED = 50
"""Steps after which what is learnt so far is kept."""

Ask = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Pictures (n, size, size, 1) → the teacher's maps (n, rows, columns, channels), one for each aim of the student."""


class Basic(nn.Module):
    """The Basic CNN's first two convolutions; ``aims`` are the teacher's last maps."""

    teacher = ("stage5_block3_add",)

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 7, 4), nn.Conv2d(32, 64, 5, 2)
        self.heads = nn.ModuleList([nn.Conv2d(64, 112, 5, 2, padding=2)])

    def forward(self, greys: Tensor) -> list[Tensor]:
        x = functional.relu(self.conv1(functional.pad(2 * greys - 1, (1, 2, 1, 2))))
        x = functional.relu(self.conv2(functional.pad(x, (1, 2, 1, 2))))
        return [head(x) for head in self.heads]


class Bottleneck(nn.Module):
    """The block of ResNet-50 as first published and as Keras has it: the stride is in the first convolution."""

    def __init__(self, before: int, channels: int, stride: int, projected: bool) -> None:
        super().__init__()
        after = 4 * channels
        self.conv1, self.bn1 = nn.Conv2d(before, channels, 1, stride), nn.BatchNorm2d(channels, momentum=0.05)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels, momentum=0.05)
        self.conv3, self.bn3 = nn.Conv2d(channels, after, 1), nn.BatchNorm2d(after, momentum=0.05)
        self.conv0 = nn.Conv2d(before, after, 1, stride) if projected else None
        self.bn0 = nn.BatchNorm2d(after, momentum=0.05) if projected else None
        nn.init.zeros_(self.bn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        beside = self.bn0(self.conv0(x)) if self.conv0 is not None and self.bn0 is not None else x
        return functional.relu(self.bn3(self.conv3(y)) + beside)


class ResNet50(nn.Module):
    """ResNet-50 with the 1 x 1 ``summary``; its third, fourth and last maps each have an aim."""

    teacher = ("stage3_block2_add", "stage5_block3_add", "stage5_block3_add")
    blocks = ((2, 3, 64), (3, 4, 128), (4, 6, 256), (5, 3, 512))

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, padding=3), nn.BatchNorm2d(64, momentum=0.05)
        before = 64
        for stage, count, width in self.blocks:
            for block in range(1, count + 1):
                stride = 2 if block == 1 and stage > 2 else 1
                self.add_module(f"conv{stage}_block{block}", Bottleneck(before, width, stride, block == 1))
                before = 4 * width
        self.summary = nn.Conv2d(before, SUMMARY, 1)
        self.heads = nn.ModuleList([nn.Conv2d(512, 40, 1), nn.Conv2d(1024, 112, 1), nn.Conv2d(SUMMARY, 2 * 112, 1)])

    def forward(self, greys: Tensor) -> list[Tensor]:
        mean = torch.tensor(IMAGENET_MEAN_BGR).view(1, 3, 1, 1)
        x = functional.relu(self.bn1(self.conv1(255 * greys.expand(-1, 3, -1, -1) - mean)))
        x = functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 2)
        ends = []
        for stage, count, _ in self.blocks:
            for block in range(1, count + 1):
                x = self.get_submodule(f"conv{stage}_block{block}")(x)
            ends.append(x)
        return [head(end) for head, end in zip(self.heads, (ends[1], ends[2], self.summary(ends[3])), strict=True)]


def student_of(name: str) -> Basic | ResNet50:
    """The untaught student that becomes the backbone of ``name``."""
    torch.manual_seed(0)
    return Basic() if name == "basic_cnn" else ResNet50()


def fill(model: keras.Model, student: Basic | ResNet50) -> None:
    """Give the backbone of ``model`` what ``student`` learnt."""
    if isinstance(student, Basic):
        fill_basic(model, student)
    else:
        fill_resnet(model, student)


def fill_basic(model: keras.Model, student: Basic) -> None:
    """Give the Basic CNN's first two convolutions what ``student`` learnt."""
    for name in ("conv1", "conv2"):
        model.get_layer(name).set_weights(_convolution(student.get_submodule(name)))


def fill_resnet(model: keras.Model, student: ResNet50) -> None:
    """Give ResNet-50, up to its ``summary``, what ``student`` learnt."""
    model.get_layer("conv1_conv").set_weights(_convolution(student.conv1))
    model.get_layer("conv1_bn").set_weights(_normalisation(student.bn1))
    model.get_layer("summary").set_weights(_convolution(student.summary))
    for stage, count, _ in ResNet50.blocks:
        for block in range(1, count + 1):
            source = student.get_submodule(f"conv{stage}_block{block}")
            for number in range(0 if block == 1 else 1, 4):
                name = f"conv{stage}_block{block}_{number}"
                model.get_layer(f"{name}_conv").set_weights(_convolution(source.get_submodule(f"conv{number}")))
                model.get_layer(f"{name}_bn").set_weights(_normalisation(source.get_submodule(f"bn{number}")))


def _convolution(layer: nn.Module) -> list[np.ndarray]:
    return [layer.weight.detach().permute(2, 3, 1, 0).numpy(), layer.bias.detach().numpy()]


def _normalisation(layer: nn.Module) -> list[np.ndarray]:
    return [part.detach().numpy() for part in (layer.weight, layer.bias, layer.running_mean, layer.running_var)]


def pooled(maps: Tensor, rows: int) -> Tensor:
    """``maps`` (n, channels, rows', columns') as means and maxima over ``rows`` x ``rows`` places; themselves if equal.

    Shape (n, 2 channels, rows, rows) where there is anything to pool.
    """
    if maps.shape[2] == rows:
        return maps
    return torch.cat([functional.adaptive_avg_pool2d(maps, rows), functional.adaptive_max_pool2d(maps, rows)], dim=1)


def teach(
    student: Basic | ResNet50,
    ask: Ask,
    pictures: Sequence[Picture],
    crops: Sequence[Crop],
    steps: int,
    kept: Path | None = None,
) -> None:
    """Teach ``student``, in place, what ``ask`` says of ``pictures``; goes on from ``kept`` where that file is.

    ``pictures`` are drawn from ``crops`` anew for every step, as (n, size, size, 1) float32 in [0, 1]; ``kept`` is
    written every `SAVED` steps. Aims are brought to mean 0 and variance 1 for each channel; what is printed is the
    share of it left unexplained.
    """
    optimiser = torch.optim.AdamW(student.parameters(), RATE, weight_decay=1e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    start, scales, losses, random = 0, None, [], np.random.default_rng(0)
    if kept is not None and kept.is_file():
        saved = torch.load(kept, weights_only=True)
        student.load_state_dict(saved["student"])
        optimiser.load_state_dict(saved["optimiser"])
        rate.load_state_dict(saved["rate"])
        start, scales = saved["step"], saved["scales"]
    student.to(memory_format=torch.channels_last).train()
    began = time.monotonic()
    for step, greys in islice(enumerate(_shown(pictures, crops, steps)), start, steps):
        shown = np.stack([noised(grey[..., 0], random) for grey in greys])
        said = student(torch.from_numpy(shown)[:, None])
        aims = [torch.from_numpy(maps).permute(0, 3, 1, 2) for maps in ask(greys)]
        aims = [pooled(maps, answer.shape[2]) for maps, answer in zip(aims, said, strict=True)]
        if scales is None:
            scales = [(maps.mean((0, 2, 3), True), maps.std((0, 2, 3), keepdim=True) + 1e-3) for maps in aims]
        parts = [
            functional.mse_loss(answer, (maps - centre) / spread)
            for answer, maps, (centre, spread) in zip(said, aims, scales, strict=True)
        ]
        optimiser.zero_grad()
        torch.stack(parts).sum().backward()
        nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimiser.step()
        rate.step()
        losses.append([float(part.detach()) for part in parts])
        if (step + 1) % SAVED == 0 or step + 1 == steps:
            unexplained = ", ".join(f"{share:.3f}" for share in np.mean(losses[-SAVED:], axis=0))
            print(
                f"{step + 1} of {steps} steps, {time.monotonic() - began:.0f} s, unexplained {unexplained}", flush=True
            )
            if kept is not None:
                state = {"student": student.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
                torch.save({**state, "rate": rate.state_dict(), "scales": scales}, kept)
    student.eval()


def _shown(pictures: Sequence[Picture], crops: Sequence[Crop], steps: int) -> Iterator[np.ndarray]:
    """What each step shows, (n, pixels, pixels, 1): two crops of each picture, and whole pictures at the end."""
    random = np.random.default_rng(0)
    order = cycle(pictures)
    whole = round(steps * SHARE_WHOLE)
    parts = list(islice(order, (steps - whole) * CROPS // 2))
    for greys, _ in drawn(parts, crops, CROPS // 2):
        room = (greys.shape[1] - CROP) // 32 + 1
        corners = 32 * random.integers(0, room, (2, len(greys), 2))
        yield np.concatenate(
            [
                np.stack(
                    [grey[top : top + CROP, left : left + CROP] for grey, (top, left) in zip(greys, some, strict=True)]
                )
                for some in corners
            ]
        )
    for greys, _ in drawn(list(islice(order, whole * WHOLE)), crops, WHOLE):
        yield greys
