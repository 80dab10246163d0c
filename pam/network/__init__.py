"""The networks of PAM: PropMask propagates a mask to other slices, Box2Mask turns a box into one.

Written from the paper (npj Digital Medicine 2025, Methods) and the numbers of the released model
(github.com/czifan/PAM, ``model/PAM.py``); tests compare the outputs with that model's.
"""

from pam.network.box2mask import Box2Mask
from pam.network.propmask import Guide, PropMask

__all__ = ["NETWORKS", "Box2Mask", "Guide", "Network", "PropMask"]

Network = PropMask | Box2Mask
NETWORKS: dict[str, type[PropMask] | type[Box2Mask]] = {"propmask": PropMask, "box2mask": Box2Mask}
