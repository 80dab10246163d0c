"""A pretended GPU, to find on any machine what would fail on a real one."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_ACROSS = (Tensor.to, Tensor.cpu, Tensor.copy_, Tensor.data.__set__)  # type: ignore[attr-defined]
_TO_ARRAY = (Tensor.numpy, Tensor.__array__)
_AS_THEY_ARE = (torch.device, torch._C._nn._parse_to, torch._has_compatible_shallow_copy_type)
"""They compute nothing; `torch.nn.Module.to` asks the last two before it moves its parameters."""


class PretendedGpu(TorchFunctionMode):
    """Within the block torch has a device ``cuda``, whose memory and arithmetic are the CPU's.

    A tensor is on it if it was moved or created there, or computed from tensors that are. As on a
    real GPU, tensors of two devices are not used together (RuntimeError), and one of the GPU is not
    an array (TypeError); a CPU tensor without axes counts as a number, and an index may be on the
    CPU. What torch's own functions do within is not seen, and there is no autocast for ``cuda``.
    """

    def __init__(self) -> None:
        """Begin with nothing on the GPU."""
        super().__init__()
        self._memory: dict[int, torch.UntypedStorage] = {}  # kept, so that no address is reused

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch on the CPU, and note on which device its result is."""
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x.numel()]
        there = any(map(self.holds, tensors))
        if function == Tensor.device.__get__:
            return torch.device("cuda", 0) if there else torch.device("cpu")
        if function == Tensor.is_cuda.__get__:  # type: ignore[attr-defined]
            return there
        if there and function in _TO_ARRAY:
            raise TypeError("a tensor on the GPU is not an array; use Tensor.cpu() first")
        if function in _AS_THEY_ARE:
            return function(*args, **kwargs)
        indexed = function == Tensor.__getitem__ and self.holds(args[0])
        mixed = there and any(x.ndim and not self.holds(x) for x in tensors)
        if mixed and not indexed and function not in _ACROSS:
            places = ", ".join(f"{list(x.shape)} {self.holds(x)}" for x in tensors)
            raise RuntimeError(f"{function}: tensors on two devices (shape, is on GPU): {places}")
        asked = [x for x in (*args, *kwargs.values()) if _is_device(x)]
        if asked:
            goes = torch.device(asked[0]).type == "cuda"
        elif function is Tensor.to and len(args) > 1 and isinstance(args[1], Tensor):
            goes = self.holds(args[1])
        else:
            goes = there and function is not Tensor.cpu
        result = function(*map(_on_cpu, args), **{k: _on_cpu(x) for k, x in kwargs.items()})
        if function in (Tensor.to, Tensor.cpu) and goes != there:
            result = result.clone()
        if goes and function not in _ACROSS[2:]:
            for x in tree_leaves(result):
                self._take(x)
        return result

    def holds(self, x: Tensor) -> bool:
        """Return whether a tensor is on the GPU."""
        return x.untyped_storage().data_ptr() in self._memory

    def _take(self, x: Any) -> None:
        if isinstance(x, Tensor) and x.numel():
            memory = x.untyped_storage()
            self._memory[memory.data_ptr()] = memory


def _is_device(x: object) -> bool:
    return isinstance(x, torch.device) or (isinstance(x, str) and x.startswith(("cuda", "cpu")))


def _on_cpu(x: Any) -> Any:
    return torch.device("cpu") if _is_device(x) else x
