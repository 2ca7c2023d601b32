// A few threads that help the caller with one job at a time, and park when there is none.
#pragma once

#include <cstdint>

namespace cloister {

// Computes a part [begin, end) of a job; parts are independent.
using Part = void (*)(const void* job, int64_t begin, int64_t end);

// Run a job of `count` units, `few` of them at a time or more, on the caller and on whoever is awake.
void run(Part part, const void* job, int64_t count, int64_t few);

}  // namespace cloister
