// Rows of a packed matrix as numbers: an embedding is looked up in the layout that multiplies.
#include "floats.h"
#include "format.h"

using namespace cloister;

namespace {

int code_at(const Matrix& matrix, const uint8_t* codes, int column, int k) {
    const uint8_t* step = codes + k / STEP * (STEP * PANEL * matrix.bits / 8) + column * 4 + k % 4;
    const bool back = k % STEP >= 4;
    if (matrix.bits == 4) return back ? *step >> 4 : *step & 15;
    return back ? step[PANEL * 4] : *step;
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
            const float scale = widen(uint16_t(block[column * 2] | block[column * 2 + 1] << 8));
            const int code = code_at(*matrix, block + SCALES_BYTES, column, int(i % matrix->group));
            write(*to, row * to->stride + i, float(code - matrix->zero()) * scale);
        }
    }
}
