#pragma once

#include "format.h"

namespace cloister {

// Does a variant that runs here compute what the portable one does?
bool agrees(const Variant& variant);

}  // namespace cloister
