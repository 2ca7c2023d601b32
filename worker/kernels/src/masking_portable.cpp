// Masking, compiled with the instructions of portable.cpp.
#include "masking.h"

namespace cloister {

const Masking MASKING_PORTABLE = {space, hide, reveal};

}  // namespace cloister
