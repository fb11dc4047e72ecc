"""llama.cpp's numbers for quantizations of whole files (`llama_ftype` of llama.h), and what making them takes."""

from __future__ import annotations

from dataclasses import dataclass

FILE_TYPES = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11,
    "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ2_XXS": 19,
    "IQ2_XS": 20, "Q2_K_S": 21, "IQ3_XS": 22, "IQ3_XXS": 23, "IQ1_S": 24, "IQ4_NL": 25, "IQ3_S": 26, "IQ3_M": 27,
    "IQ2_S": 28, "IQ2_M": 29, "IQ4_XS": 30, "IQ1_M": 31, "BF16": 32, "TQ1_0": 36, "TQ2_0": 37, "MXFP4_MOE": 38,
    "NVFP4": 39, "Q1_0": 40, "Q2_0": 41,
}  # fmt: skip
# llama.cpp reads NVFP4 files, which other programs make; its own quantizer has no such output.
MAKEABLE = tuple(name for name in FILE_TYPES if name != "NVFP4")
# Without an importance matrix these are garbage, and llama.cpp refuses to make them.
NEEDS_MATRIX = frozenset(
    ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "Q2_K_S")
)  # fmt: skip
WHOLE_NUMBERS = frozenset(("F32", "F16", "BF16"))
# What the output and the token embedding may be stored as (`ggml_type` of ggml.h).
TENSOR_TYPES = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12,
    "Q5_K": 13, "Q6_K": 14, "IQ4_NL": 20, "IQ4_XS": 23, "BF16": 30,
}  # fmt: skip
_NAMES = {number: name for name, number in FILE_TYPES.items()}
# Set by llama.cpp when the file does not say and most tensors have this type.
_GUESSED = 1024


def file_type_name(number: int) -> str | None:
    """The short name ("Q4_K_M") of a number; None when it is not known here."""
    return _NAMES.get(number & ~_GUESSED) if number >= 0 else None


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """What else decides about a made file. None: llama.cpp's own choice for the type.

    `matrix` is the path of an importance matrix. `output_type` and `embedding_type` are keys of `TENSOR_TYPES`;
    `keep_output` leaves the output tensor as it is; `pure` gives every tensor the same type. `allow_requantize`:
    also from a source that is quantized already, which loses more than from 16 bits.
    """

    matrix: str | None = None
    output_type: str | None = None
    embedding_type: str | None = None
    keep_output: bool = False
    pure: bool = False
    allow_requantize: bool = False
