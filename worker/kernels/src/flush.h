// Denormal numbers as zeros, for instructions that ask the processor's mode.
#pragma once

#include <immintrin.h>

namespace cloister {

// While it lives, denormal numbers are zeros, given or made.
struct Flush {
    const unsigned before = _mm_getcsr();
    Flush() { _mm_setcsr(before | 0x8040); }
    ~Flush() { _mm_setcsr(before); }
};

}  // namespace cloister
