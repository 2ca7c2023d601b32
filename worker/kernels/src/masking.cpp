// The C interface of masking. Arguments are checked in masking.py.
#include "masking.h"

#include "pool.h"

using namespace cloister;

namespace {

template <class Job>
struct Work {
    void (*part)(const Job&, int64_t, int64_t);
    const Job* job;
};

template <class Job>
void do_part(const void* work, int64_t begin, int64_t end) {
    const Work<Job>* own = static_cast<const Work<Job>*>(work);
    own->part(*own->job, begin, end);
}

constexpr int64_t NUMBERS_AT_A_TIME = 1 << 15;  // fewer are not worth a second thread

template <class Job>
void run_rows(void (*part)(const Job&, int64_t, int64_t), const Job& job) {
    const Work<Job> work = {part, &job};
    run(do_part<Job>, &work, job.rows, 1 + NUMBERS_AT_A_TIME / (job.columns + 1));
}

}  // namespace

// `variant` counts as in interface.cpp.
CLOISTER_CALL void cloister_space(int32_t variant, const Spacing* job) {
    run_rows(variant_at(variant).masking->space, *job);
}

CLOISTER_CALL void cloister_hide(int32_t variant, const Hiding* job) {
    run_rows(variant_at(variant).masking->hide, *job);
}

CLOISTER_CALL void cloister_reveal(int32_t variant, const Revealing* job) {
    run_rows(variant_at(variant).masking->reveal, *job);
}
