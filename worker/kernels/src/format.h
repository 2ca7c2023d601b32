// What crosses between Python and the kernels: packed matrices, rows of numbers, and the variants.
#pragma once

#include <cstdint>

// What Python calls.
#define CLOISTER_CALL extern "C" __attribute__((visibility("default")))

namespace cloister {

// Columns (outputs) of a matrix that stand together. A panel is one unbroken stream of bytes:
// for each group of inputs 32 bf16 scales, then the codes, 8 inputs at a time. A panel of bf16
// numbers has neither scales nor codes: a group is two inputs, side by side for each of 32 outputs.
constexpr int PANEL = 32;
constexpr int STEP = 8;
constexpr int SCALES_BYTES = PANEL * 2;

enum Type : int32_t { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2 };  // int8: of pages alone

struct Matrix {
    const uint8_t* panels;
    int64_t inputs;   // of a row as it comes; groups are padded with zeros
    int64_t outputs;  // the last panel is padded with zeros
    int32_t bits;     // of a code, 4 or 8; or 16: bf16 numbers
    int32_t group;    // inputs that share a scale, a multiple of STEP; 2 of numbers

    int64_t groups() const { return (inputs + group - 1) / group; }
    int64_t panel_count() const { return (outputs + PANEL - 1) / PANEL; }
    int32_t scales_bytes() const { return bits == 16 ? 0 : SCALES_BYTES; }
    int64_t block_bytes() const { return scales_bytes() + int64_t(PANEL) * group * bits / 8; }
    int64_t panel_bytes() const { return groups() * block_bytes(); }
    int32_t zero() const { return 1 << (bits - 1); }  // the code of 0
};

// A linear with what surrounds it, the same in every call: RMSNorm of the row, the product, a bias,
// and where it is gated, silu(first outputs) * second outputs; panels of both then take turns.
struct Linear {
    Matrix matrix;      // of a gated one `outputs` are those of the result
    const float* bias;  // or null
    const float* norm;  // weights, or null
    float epsilon;
    int32_t gated;

    int32_t parts() const { return gated ? 2 : 1; }
};

// Rows as they come from and go to tensors: `stride` in numbers.
struct Rows {
    void* data;
    int64_t stride;
    int32_t type;
};

// For codes quantised rows, by group: values in [-127, 127], their scale, and the sum that cancels
// the zero point of the codes: codes are unsigned, so that one instruction multiplies them, and every
// dot product begins at -zero * sum(values) instead of 0. For bf16 numbers rows rounded to such.
struct Activations {
    int8_t* values;     // [rows, groups * group]
    float* scales;      // [rows, groups]
    int32_t* starts;    // [rows, groups]
    uint16_t* bfloats;  // [rows, bfloat_stride]
};

// From row to row of bf16, in numbers: were it a power of two, all rows would want one cache set.
inline int64_t bfloat_stride(const Matrix& matrix) { return matrix.groups() * 2 + 32; }

struct Product {
    Linear linear;
    Rows input;
    Rows output;
    int64_t rows;
    Activations activations;
};

// How the token of a row is drawn; draw.py says what each means.
struct Rule {
    double temperature, top_k, top_p, min_p, point;
};

struct Draw {
    const float* logits;
    int64_t stride;  // from row to row, in numbers
    int64_t rows;
    int64_t size;  // of a row
    const Rule* rules;
    const uint8_t* const* masks;  // by row, or null: what is allowed, a bit each; null where all is
    int64_t* ids;                 // -1 for a row that is not finite, -2 where nothing is allowed
};

struct Attention;
struct Masking;

// The same steps for one set of instructions. Ranges are of rows and of the result's panels; in
// attention of rows and of blocks; in drawing of rows.
struct Variant {
    const char* name;
    bool (*runs_here)();
    void (*prepare)(const Product&, int64_t begin, int64_t end);
    void (*multiply)(const Product&, int64_t begin, int64_t end);
    void (*keep)(const Attention&, int64_t begin, int64_t end);
    void (*attend)(const Attention&, int64_t begin, int64_t end);
    void (*draw)(const Draw&, int64_t begin, int64_t end);
    const Masking* masking;
};

extern const Masking MASKING_PORTABLE, MASKING_AVX2, MASKING_AVX512;
extern const Variant PORTABLE, AVX2, AVX512, AVX512_BF16, AMX;

const Variant& variant_at(int32_t index);  // best first

}  // namespace cloister
