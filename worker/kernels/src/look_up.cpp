// Rows of a packed matrix as numbers: an embedding is looked up in the layout that multiplies.
#include "floats.h"
#include "format.h"

using namespace cloister;

namespace {

uint16_t bfloat_at(const uint8_t* bytes) { return uint16_t(bytes[0] | bytes[1] << 8); }

int code_at(const Matrix& matrix, const uint8_t* codes, int column, int k) {
    const uint8_t* step = codes + k / STEP * (STEP * PANEL * matrix.bits / 8) + column * 4 + k % 4;
    const bool back = k % STEP >= 4;
    if (matrix.bits == 4) return back ? *step >> 4 : *step & 15;
    return back ? step[PANEL * 4] : *step;
}

float number_at(const Matrix& matrix, const uint8_t* block, int column, int k) {
    if (matrix.bits == 16) return widen(bfloat_at(block + (2 * column + k) * 2));
    const int code = code_at(matrix, block + SCALES_BYTES, column, k);
    return float(code - matrix.zero()) * widen(bfloat_at(block + column * 2));
}

void write(const Rows& to, int64_t at, float value) {
    if (to.type == BFLOAT16)
        static_cast<uint16_t*>(to.data)[at] = narrow(value);
    else
        static_cast<float*>(to.data)[at] = value;
}

}  // namespace

CLOISTER_CALL void cloister_look_up(const Matrix* matrix, const int64_t* indices, int64_t count,
                                    const Rows* to) {
    for (int64_t row = 0; row < count; row++) {
        const int column = int(indices[row] % PANEL);
        const uint8_t* panel = matrix->panels + indices[row] / PANEL * matrix->panel_bytes();
        for (int64_t i = 0; i < matrix->inputs; i++) {
            const uint8_t* block = panel + i / matrix->group * matrix->block_bytes();
            const float number = number_at(*matrix, block, column, int(i % matrix->group));
            write(*to, row * to->stride + i, number);
        }
    }
}
