"""A scan as a video for SAM 2: slices are embedded once for all objects, then tracked both ways."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import Sam2VideoInferenceSession

from benchmark.machine.precision import Precision, in_precision

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
_REMEMBERED = 16  # the model looks back 6 frames for memories, 15 for object pointers


def to_frames(planes: NDArray[np.uint8], size: int) -> Tensor:
    """Resize slices [n, y, x] in 0..255 to frames [n, 3, size, size], as the released scripts do.

    Resizing is bicubic as in Pillow: along x, rounded to integers, then along y, without keeping
    the aspect ratio. Frames are scaled to 0..1 and standardised by the mean and standard deviation
    of natural images.
    """
    grey = torch.from_numpy(np.ascontiguousarray(planes)).float()[:, None]
    for shape in ((planes.shape[1], size), (size, size)):
        grey = interpolate(grey, shape, mode="bicubic", antialias=True).round().clamp(0, 255)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (grey / 255 - mean) / std


class Features:
    """Embeddings of the slices; replaces the cache of a session, which keeps only the last one.

    They are kept in main memory, because those of a long scan may not fit into that of a GPU.
    """

    def __init__(self, network: Any, device: str, precision: Precision) -> None:
        """Compute in ``precision`` on ``device``; with bfloat16, also keep the embeddings in it."""
        self.network, self.device, self.precision = network, device, precision
        self.maps: dict[int, list[Tensor]] = {}
        self.positions: list[Tensor] = []

    @torch.inference_mode()
    def embed(self, indices: Sequence[int], frames: Tensor) -> None:
        """Embed ``frames`` [n, 3, size, size] as the slices ``indices``."""
        with in_precision(self.precision, self.device):
            found = self.network.get_image_features(frames.to(self.device), return_dict=True)
        self.positions = [places[:, :1] for places in found.fpn_position_encoding]
        for place, index in enumerate(indices):
            maps = [level[:, place : place + 1] for level in found.fpn_hidden_states]
            if self.precision == "bfloat16":
                maps = [level.bfloat16() for level in maps]
            self.maps[index] = [level.cpu() for level in maps]

    def get_vision_features(self, index: int) -> dict[str, list[Tensor]]:
        """Return a slice's embedding on the device, in the interface of a session's cache."""
        maps = [level.to(self.device).float() for level in self.maps[index]]
        return {"vision_feats": maps, "vision_pos_embeds": self.positions}


class Prompted:
    """The prompt of an object on its guiding slice, in pixels of the network's image."""

    def __init__(
        self, index: int, *, box: Tensor | None = None, mask: Tensor | None = None
    ) -> None:
        """Take ``box`` (x0, y0, x1, y1) or ``mask``, [size, size] of 0 and 1."""
        self.index, self.box, self.mask = index, box, mask

    def session(self, features: Features, count: int) -> Any:
        """Start a new session with this prompt alone; ``count``: slices of the scan."""
        session: Any = Sam2VideoInferenceSession(
            inference_device=features.device, dtype=torch.float32
        )
        session.processed_frames = dict.fromkeys(range(count))  # only their number is used
        session.cache = features
        session.inference_state_device = features.device
        first = session.obj_id_to_idx(1)
        if self.mask is not None:
            session.add_mask_inputs(first, self.index, self.mask[None, None])
        elif self.box is not None:  # corners of a box are points with the labels 2 and 3
            corners = {
                "point_coords": self.box.view(1, 1, 2, 2),
                "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32),
            }
            session.add_point_inputs(first, self.index, corners)
        session.obj_with_new_inputs.append(1)
        return session


@torch.inference_mode()
def walk(
    features: Features, prompted: Prompted, count: int, reach: int, step: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield slices and their logits [1, 1, h, w], beginning with the guiding slice.

    ``step``: 1 (forward) or -1 (backward). ``reach``: maximum number of slices to go. Frames that
    the model no longer looks back to are dropped on the way.
    """
    session = prompted.session(features, count)
    memories = session.output_dict_per_obj[0]["non_cond_frame_outputs"]
    stop = min(prompted.index + reach, count - 1) if step == 1 else max(prompted.index - reach, 0)
    for index in range(prompted.index, stop + step, step):
        with in_precision(features.precision, features.device):
            found = features.network(session, frame_idx=index, reverse=step == -1)
        yield index, found.pred_masks.float()
        memories.pop(index - step * _REMEMBERED, None)
        if index in memories:
            memories[index].pop("high_res_masks", None)


def to_plane(logits: Tensor, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Resize logits [1, 1, h, w] to a slice of ``shape`` (y, x), and threshold them at 0."""
    mask: NDArray[np.bool_] = (interpolate(logits, shape, mode="bilinear")[0, 0] > 0).cpu().numpy()
    return mask
