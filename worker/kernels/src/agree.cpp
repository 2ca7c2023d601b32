// Before a variant is used, it multiplies something small, and must give the portable one's bits.
#include "agree.h"

#include <cstring>

namespace cloister {
namespace {

constexpr int ROWS = 18, INPUTS = 64, OUTPUTS = 40;
constexpr int PANELS = 2 * ((OUTPUTS + PANEL - 1) / PANEL);

uint32_t drawn(uint32_t& state) {  // a linear congruential generator; its upper bits are good
    state = state * 1664525u + 1013904223u;
    return state >> 16;
}

struct Result {
    float numbers[ROWS][OUTPUTS];
};

// `size` is the upper byte of scales or, of bf16 numbers, without their sign: of numbers from 0x3d00
// on between 2^-5 and 2^-3, of those from 0 on half are denormal.
Result small_product(const Variant& variant, int32_t bits, int32_t group, uint8_t size) {
    uint32_t state = 1;
    alignas(64) uint8_t panels[PANELS * PANEL * INPUTS * 2];
    for (uint8_t& byte : panels) byte = uint8_t(drawn(state));
    const Matrix matrix = {panels, INPUTS, OUTPUTS, bits, group};
    const int64_t bfloats = bits == 16 ? PANEL * group : PANEL;
    for (int64_t block = 0; block < PANELS * matrix.groups(); block++)
        for (int64_t i = 0; i < bfloats; i++) {
            uint8_t& upper = panels[block * matrix.block_bytes() + i * 2 + 1];
            upper = size | (bits == 16 ? upper & 0x80 : 0);
        }
    float x[ROWS][INPUTS], bias[2 * OUTPUTS], norm[INPUTS];
    for (auto& row : x)
        for (float& number : row) number = float(drawn(state)) / 32768 - 1;
    for (float& number : bias) number = float(drawn(state)) / 32768 - 1;
    for (float& number : norm) number = float(drawn(state)) / 32768 - 1;
    alignas(64) int8_t values[ROWS * INPUTS];
    alignas(64) uint16_t rounded[ROWS * (INPUTS + 32)];
    float scales[ROWS * INPUTS];
    int32_t starts[ROWS * INPUTS];
    Result result;
    const bool is_tiny = size == 0;  // then nothing shall hide what becomes of the sums
    const Product product = {{matrix, is_tiny ? nullptr : bias, norm, 1e-5f, !is_tiny},
                             {x, INPUTS, FLOAT32},
                             {&result, OUTPUTS, FLOAT32},
                             ROWS,
                             {values, scales, starts, rounded}};
    variant.prepare(product, 0, ROWS);
    variant.multiply(product, 0, matrix.panel_count());
    return result;
}

}  // namespace

bool agrees(const Variant& variant) {
    constexpr struct {
        int32_t bits, group;
        uint8_t size;
    } CASES[] = {{4, 32, 0x3d}, {8, 32, 0x3d}, {16, 2, 0x3d}, {16, 2, 0}};
    for (const auto& each : CASES) {
        const Result found = small_product(variant, each.bits, each.group, each.size);
        const Result wanted = small_product(PORTABLE, each.bits, each.group, each.size);
        if (memcmp(&found, &wanted, sizeof found)) return false;
    }
    return true;
}

}  // namespace cloister
