"""Box2Mask: segment the object in an image cropped to its box (paper, Methods, Box2Mask module)."""

from torch import Tensor, nn

from pam.config import Box2MaskConfig
from pam.network.blocks import Decoder, Encoder, check_size


class Box2Mask(nn.Module):
    """A U-Net with logits at each resolution of its decoder."""

    kind = "box2mask"
    Config = Box2MaskConfig

    def __init__(self, config: Box2MaskConfig | None = None) -> None:
        """Create the network with random weights, by default of the paper's size."""
        super().__init__()
        self.config = config or Box2MaskConfig()
        self.encoder = Encoder(self.config.widths)
        self.decoder = Decoder(self.config.widths)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Segment crops.

        ``image``: float [B, 1, H, W] in -1..1. Returns logits (background, foreground) [B, 2, H /
        2^i, W / 2^i], finest first. Raises ValueError for a size that is not a multiple of
        ``config.multiple``.
        """
        check_size(image, self.config.multiple)
        logits: list[Tensor] = self.decoder(self.encoder(image))
        return logits
