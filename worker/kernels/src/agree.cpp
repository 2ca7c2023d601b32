// Before a variant is used, it multiplies something small, and must give the portable one's bits.
#include "agree.h"

#include <cstring>

namespace cloister {
namespace {

constexpr int ROWS = 18, INPUTS = 64, OUTPUTS = 40, GROUP = 32, GROUPS = INPUTS / GROUP;
constexpr int PANELS = 2 * ((OUTPUTS + PANEL - 1) / PANEL);

uint32_t drawn(uint32_t& state) {  // a linear congruential generator; its upper bits are good
    state = state * 1664525u + 1013904223u;
    return state >> 16;
}

struct Result {
    float numbers[ROWS][OUTPUTS];
};

Result small_product(const Variant& variant, int32_t bits) {
    uint32_t state = 1;
    static_assert(INPUTS % GROUP == 0, "no padding");
    alignas(64) uint8_t panels[PANELS * GROUPS * (SCALES_BYTES + PANEL * GROUP)];
    for (uint8_t& byte : panels) byte = uint8_t(drawn(state));
    const Matrix matrix = {panels, INPUTS, OUTPUTS, bits, GROUP};
    for (int64_t block = 0; block < PANELS * GROUPS; block++)
        for (int column = 0; column < PANEL; column++)  // scales from 2^-4 to 2^-3
            panels[block * matrix.block_bytes() + column * 2 + 1] = 0x3d;
    float x[ROWS][INPUTS], bias[2 * OUTPUTS], norm[INPUTS];
    for (auto& row : x)
        for (float& number : row) number = float(drawn(state)) / 32768 - 1;
    for (float& number : bias) number = float(drawn(state)) / 32768 - 1;
    for (float& number : norm) number = float(drawn(state)) / 32768 - 1;
    alignas(64) int8_t values[ROWS * INPUTS];
    float scales[ROWS * GROUPS];
    int32_t starts[ROWS * GROUPS];
    Result result;
    const Product product = {{matrix, bias, norm, 1e-5f, 1},
                             {x, INPUTS, FLOAT32},
                             {&result, OUTPUTS, FLOAT32},
                             ROWS,
                             {values, scales, starts}};
    variant.quantise(product, 0, ROWS);
    variant.multiply(product, 0, matrix.panel_count());
    return result;
}

}  // namespace

bool agrees(const Variant& variant) {
    for (int32_t bits = 4; bits <= 8; bits += 4) {
        const Result found = small_product(variant, bits), wanted = small_product(PORTABLE, bits);
        if (memcmp(&found, &wanted, sizeof found)) return false;
    }
    return true;
}

}  // namespace cloister
