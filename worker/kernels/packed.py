"""Matrices packed for the kernels: one layout that serves one row, a few, and hundreds.

32 outputs form a panel, and a panel is one stream of bytes: for each group of inputs the 32 scales,
then the codes, four inputs of each output side by side. Read once from its start to its end, it
gives each instruction what it multiplies next.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from worker.kernels.lowbit import Codes, Format

PANEL = 32
FOUR = 4  # bytes of an output that stand together
SCALES_BYTES = PANEL * torch.bfloat16.itemsize


@dataclass(frozen=True, slots=True)
class Packed:
    """A matrix [outputs, inputs] as `panels` uint8 [panels, groups, bytes of scales and codes]."""

    panels: Tensor
    outputs: int
    inputs: int
    form: Format
    dtype: torch.dtype


def pack(codes: Codes) -> Packed:
    """Reorder codes into panels; the last panel is padded with outputs whose scales are 0."""
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
    return Packed(panels, outputs, codes.inputs, form, codes.dtype)


def unpack(packed: Packed) -> Codes:
    """The codes that `pack` was given."""
    panels, groups, _ = packed.panels.shape
    scales = packed.panels[..., :SCALES_BYTES].contiguous().view(torch.bfloat16)
    fours = packed.panels[..., SCALES_BYTES:].view(panels, groups, -1, PANEL, FOUR)
    return Codes(
        fours.permute(0, 3, 1, 2, 4).reshape(panels * PANEL, -1)[: packed.outputs],
        scales.transpose(1, 2).reshape(panels * PANEL, groups)[: packed.outputs],
        packed.inputs,
        packed.form,
        packed.dtype,
    )
