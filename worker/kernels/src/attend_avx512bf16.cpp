// Attention with AVX512-BF16: `vdpbf16ps` multiplies and adds both numbers of a unit at once. Queries
// and weights are rounded to bfloat16 for that.
#include "attend_avx512.h"

namespace cloister {
namespace {

struct Bfloats : Avx512 {};

}  // namespace

template <>
struct Numbers<Bfloats, uint16_t> : Numbers<Bfloats, float> {
    using Right = __m512i;

    static Right right(const uint32_t* units, int) { return _mm512_loadu_si512(units); }
    static float pack(float* x, int count) {
        uint16_t codes[MOST_HEAD_DIM];
        for (int i = 0; i < count; i++) codes[i] = narrow(x[i]);
        memcpy(x, codes, count * sizeof *codes);
        return 1;
    }
    static float pack_weights(float* x, int columns, Floats) {
        for (int c = 0; c < columns; c++) {
            const __m256bh codes = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + c * Bfloats::LANES));
            memcpy(reinterpret_cast<char*>(x) + c * sizeof codes, &codes, sizeof codes);
        }
        return 1;
    }
    static Sum dot(Sum sum, Right right, const float* left) {
        // As an intrinsic it would take more registers.
        asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(right), "v"(_mm512_set1_ps(*left)));
        return sum;
    }
};

void attend_avx512bf16(const Attention& job, int64_t begin, int64_t end) {
    attend<Bfloats>(job, begin, end);
}

}  // namespace cloister
