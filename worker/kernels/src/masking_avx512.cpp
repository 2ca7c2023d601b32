// Masking, compiled with the instructions of avx512.cpp.
#include "masking.h"

namespace cloister {

const Masking MASKING_AVX512 = {space, hide, reveal};

}  // namespace cloister
