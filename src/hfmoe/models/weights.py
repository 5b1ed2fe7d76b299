"""Weights as one self-describing safetensors file: a path alone rebuilds the network."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor
from torch.overrides import TorchFunctionMode

from hfmoe.models.config import HFMoEConfig
from hfmoe.models.header import (
    METADATA_KEY,
    Header,
    ModelFacts,
    WeightsError,
    header_text,
    match_names,
    one_line,
    parse_header,
)
from hfmoe.models.network import HFMoE
from hfmoe.runtime.files import write_atomically

EXTERNAL_KEY = "hfmoe-peer"
"""Metadata of weights of networks that are not ours."""
_PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_PICKLE_ADVICE = (
    "is a pickle, no weights file of ours; if it holds a network that spandrel knows, `hfmoe restore` and "
    "`evaluate` take it (pip install 'hf-moe-ir[peers]')"
)


class Loaded(NamedTuple):
    """A rebuilt network, in float32 on the CPU and in evaluation mode, with what its file says of it."""

    network: HFMoE
    config: HFMoEConfig
    facts: ModelFacts


def save_weights(path: Path | str, network: HFMoE, facts: ModelFacts) -> None:
    """Write network, its configuration and facts to path: the whole file appears at once or not at all.

    Floating tensors are stored as float32. The network is unfolded and carries its `config`.
    """
    tensors = {name: stored(tensor) for name, tensor in network.state_dict().items()}
    text = header_text(network.config, facts)
    write_atomically(Path(path), save(tensors, metadata={METADATA_KEY: text}))


def read_header(path: Path | str) -> Header:
    """Read configuration and facts of a weights file without reading its tensors. Raises WeightsError."""
    path = Path(path)
    _refuse_other_formats(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or not a safetensors file ({one_line(error)})") from error
    if EXTERNAL_KEY in metadata:
        raise WeightsError(f"{path} holds weights of a network that is not ours; only hfmoe ablate uses it")
    if METADATA_KEY not in metadata:
        raise WeightsError(f"{path} is a safetensors file, but without {METADATA_KEY!r} in its metadata")
    return parse_header(path, metadata[METADATA_KEY])


def is_external(path: Path) -> bool:
    """Return whether a file holds tensors of a network that is not ours: a pickle, or safetensors without our
    metadata. A file that is neither is for `read_header` to refuse."""
    if path.suffix.lower() == ".pt2":
        return False
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if start[8:] != b"{":
            return _is_pickle(start)
        with safetensors.safe_open(path, framework="pt") as file:
            return not {METADATA_KEY, EXTERNAL_KEY} & set(file.metadata() or {})
    except (safetensors.SafetensorError, OSError):
        return False


@contextmanager
def standard_defaults() -> Iterator[None]:
    """Build and run networks in float32 on the CPU, whatever the global defaults are set to."""
    kind = torch.get_default_dtype()
    if kind != torch.float32:
        torch.set_default_dtype(torch.float32)
    try:
        if torch.get_default_device().type == "cpu":
            yield
        else:
            with torch.device("cpu"):
                yield
    finally:
        if kind != torch.float32:
            torch.set_default_dtype(kind)


def load_weights(path: Path | str) -> Loaded:
    """Rebuild the network that a weights file describes.

    Raises WeightsError when the file is missing, damaged or of another kind (a pickle is refused unread),
    or when a key of its configuration, facts or tensors is unknown, missing or of another shape.
    The global random state is kept.
    """
    path = Path(path)
    config, facts, _ = read_header(path)
    try:
        with torch.device("meta"), WithoutValues():
            expected = HFMoE(config).state_dict()
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        _match_tensors(path, expected, tensors)
        with torch.random.fork_rng(devices=[]), standard_defaults():
            network = HFMoE(config)
        network.load_state_dict(tensors)
    except WeightsError:
        raise
    except (
        safetensors.SafetensorError,
        OSError,
        ValueError,
        TypeError,
        RuntimeError,
        ArithmeticError,
    ) as error:
        raise WeightsError(f"{path} cannot be loaded: {one_line(error)}") from error
    return Loaded(network.eval(), config, facts)


class WithoutValues(TorchFunctionMode):
    """Builds modules without drawing values: on the meta device torch imports its compiler to draw them."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Leave a tensor as it is where a function of torch.nn.init would fill it."""
        given = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)


def stored(tensor: Tensor) -> Tensor:
    """Return a tensor as files store it: on the CPU, contiguous, floats as float32."""
    tensor = tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else tensor.dtype)
    return tensor.clone(memory_format=torch.contiguous_format)


def _refuse_other_formats(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error
    if not start:
        raise WeightsError(f"{path} is empty")
    if start[8:] == b"{":
        return
    if path.suffix.lower() == ".pt2":
        raise WeightsError(f"{path} is a program for torch.export.load; use weights, .onnx or .xml here")
    if _is_pickle(start):
        raise WeightsError(f"{path} {_PICKLE_ADVICE}")
    raise WeightsError(f"{path} is damaged or not a safetensors file")


def _is_pickle(start: bytes) -> bool:
    return start[:4] == b"PK\x03\x04" or start[:2] in _PICKLE_STARTS


def _match_tensors(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    match_names(path, "tensor", set(expected), set(found))
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            shapes = f"{tuple(found[name].shape)}, must be {tuple(tensor.shape)}"
            raise WeightsError(f"{path}: tensor {name} is {shapes}")
