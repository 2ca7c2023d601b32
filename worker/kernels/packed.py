"""Matrices packed for the kernels: one layout that serves one row, a few, and hundreds.

32 outputs form a panel, and a panel is one stream of bytes: for each group of inputs the 32 scales,
then the codes, four inputs of each output side by side. Read once from its start to its end, it
gives each instruction what it multiplies next.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from worker.kernels.lowbit import Codes, Format

PANEL = 32
FOUR = 4  # bytes of an output that stand together
SCALES_BYTES = PANEL * torch.bfloat16.itemsize


@dataclass(frozen=True, slots=True)
class Packed:
    """A matrix as `panels` uint8 [panels, groups, bytes of scales and codes].

    A `gated` one holds two matrices [outputs, inputs]; their panels take turns.
    """

    panels: Tensor
    outputs: int
    inputs: int
    form: Format
    dtype: torch.dtype
    gated: bool = False


@dataclass(frozen=True, slots=True)
class Fused:
    """A linear with what surrounds it: RMSNorm (Zhang and Sennrich 2019), product, bias.

    `norm` [inputs] are the weights of the first; `bias` has one number for each row of the matrix,
    or of both where it is gated: then the result is silu(first half) * second half.
    """

    matrix: Packed
    bias: Tensor | None = None
    norm: Tensor | None = None
    epsilon: float = 0.0


def pack(codes: Codes) -> Packed:
    """Reorder codes into panels; the last panel is padded with outputs whose scales are 0."""
    return Packed(_panels(codes), *codes.shape, codes.form, codes.dtype)


def pack_gated(codes: Codes) -> Packed:
    """The same for two matrices of equal shape, one below the other."""
    outputs = codes.shape[0] // 2
    both = _panels(codes.rows(0, outputs)), _panels(codes.rows(outputs, 2 * outputs))
    panels = torch.stack(both, 1).flatten(0, 1)
    return Packed(panels, outputs, codes.inputs, codes.form, codes.dtype, gated=True)


def unpack(packed: Packed) -> Codes:
    """The codes that packing was given."""
    if not packed.gated:
        return _codes(packed, packed.panels)
    first, second = (_codes(packed, packed.panels[part::2]) for part in range(2))
    values = torch.cat((first.values, second.values))
    return replace(first, values=values, scales=torch.cat((first.scales, second.scales)))


def _panels(codes: Codes) -> Tensor:
    (outputs, groups), form = codes.scales.shape, codes.form
    padding = (0, 0, 0, -outputs % PANEL)
    values = functional.pad(codes.values, padding).view(-1, PANEL, groups, form.group_bytes // 4, 4)
    scales = functional.pad(codes.scales, padding).view(-1, PANEL, groups)
    panels = torch.empty(
        len(values), groups, SCALES_BYTES + PANEL * form.group_bytes, dtype=torch.uint8
    )
    panels[..., :SCALES_BYTES] = scales.transpose(1, 2).contiguous().view(torch.uint8)
    streams = values.permute(0, 2, 3, 1, 4)  # [panels, groups, fours, outputs, 4]
    panels[..., SCALES_BYTES:].view(streams.shape).copy_(streams)
    return panels


def _codes(packed: Packed, all_panels: Tensor) -> Codes:
    panels, groups, _ = all_panels.shape
    scales = all_panels[..., :SCALES_BYTES].contiguous().view(torch.bfloat16)
    fours = all_panels[..., SCALES_BYTES:].view(panels, groups, -1, PANEL, FOUR)
    return Codes(
        fours.permute(0, 3, 1, 2, 4).reshape(panels * PANEL, -1)[: packed.outputs],
        scales.transpose(1, 2).reshape(panels * PANEL, groups)[: packed.outputs],
        packed.inputs,
        packed.form,
        packed.dtype,
    )
