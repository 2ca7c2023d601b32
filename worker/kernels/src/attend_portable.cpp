// No instructions beyond those of every x86-64 or ARM.
#include "attend.h"

namespace cloister {
namespace {

struct Vectors {
    static constexpr int LANES = 4, COLUMNS = 2;
    // Of compilers: four lanes of whatever the processor has.
    typedef float Floats __attribute__((vector_size(16)));
    typedef uint32_t Units __attribute__((vector_size(16)));
    typedef int32_t Ints __attribute__((vector_size(16)));
    typedef int16_t Pairs __attribute__((vector_size(16)));

    static Floats floats(float value) { return Floats{value, value, value, value}; }

    static Floats load(const float* from) {
        Floats all;
        memcpy(&all, from, sizeof all);
        return all;
    }

    static Units units(const uint32_t* from) {
        Units all;
        memcpy(&all, from, sizeof all);
        return all;
    }

    static void store(float* to, Floats value) { memcpy(to, &value, sizeof value); }
    static Floats low(const uint32_t* from) { return Floats(units(from) << 16); }
    static Floats high(const uint32_t* from) { return Floats(units(from) & 0xffff0000); }
    static Floats add(Floats a, Floats b) { return a + b; }
    static Floats sub(Floats a, Floats b) { return a - b; }
    static Floats mul(Floats a, Floats b) { return a * b; }
    static Floats fma(Floats a, Floats b, Floats c) { return a * b + c; }
    static Floats max(Floats a, Floats b) { return a > b ? a : b; }
    static Ints no_ints() { return Ints{}; }
    static Floats reals(Ints value) { return __builtin_convertvector(value, Floats); }

    static void store_16_bits(void* to, Floats value) {
        int16_t all[LANES];
        for (int i = 0; i < LANES; i++) all[i] = int16_t(nearest(value[i]));
        memcpy(to, all, sizeof all);
    }

    // Bytes as pairs of 16 bits.
    static Ints even_bytes(const uint32_t* from) { return Ints(Pairs(units(from) << 8) >> 8); }
    static Ints odd_bytes(const uint32_t* from) { return Ints(Pairs(units(from)) >> 8); }

    static Ints dot(Ints sum, Ints right, uint32_t left) {
        const int32_t first = int16_t(left), second = int16_t(left >> 16);
        return sum + (Ints(Units(right) << 16) >> 16) * first + (right >> 16) * second;
    }

    static Floats power(Floats value) { return Floats((Units(value) + 127) << 23); }
    static float first(Floats value) { return value[0]; }

    static float largest(Floats value) {
        float most = value[0];
        for (int i = 1; i < LANES; i++) most = value[i] > most ? value[i] : most;
        return most;
    }
};

}  // namespace

void keep_portable(const Attention& job, int64_t begin, int64_t end) { keep(job, begin, end); }
void attend_portable(const Attention& job, int64_t begin, int64_t end) {
    attend<Vectors>(job, begin, end);
}

}  // namespace cloister
