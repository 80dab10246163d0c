"""The array type of the analyses."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
