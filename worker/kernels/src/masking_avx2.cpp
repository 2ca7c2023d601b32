// Masking, compiled with the instructions of avx2.cpp.
#include "masking.h"

namespace cloister {

const Masking MASKING_AVX2 = {space, hide, reveal};

}  // namespace cloister
