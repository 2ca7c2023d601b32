// The threads are Python's: each spends its life in one call of `cloister_help`. So nothing here
// starts threads or allocates, and a home counts them like any others.
//
// The caller never waits for a helper that has not begun: it takes parts until none are left,
// closes the job, and waits only for those who are inside. One whose core is busy costs nothing.
#include "format.h"
#include "pool.h"

#include <pthread.h>

#include <atomic>

namespace cloister {
namespace {

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t changed = PTHREAD_COND_INITIALIZER;  // a job is open, or helpers shall leave
pthread_cond_t empty = PTHREAD_COND_INITIALIZER;    // the last helper has left a job

// Guarded by `mutex`; the number of jobs is also read without it, by helpers that spin.
Part part;
const void* job;
int64_t count, chunk;
bool open;
int inside, helpers, asked_to_leave;
std::atomic<uint32_t> jobs{0};

std::atomic<bool> taken{false};  // by one caller; others compute alone
std::atomic<int64_t> next_unit{0};
std::atomic<int32_t> spins{0};

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

void take_parts(Part part, const void* job, int64_t count, int64_t chunk) {
    for (;;) {
        const int64_t begin = next_unit.fetch_add(chunk, std::memory_order_relaxed);
        if (begin >= count) return;
        part(job, begin, begin + chunk < count ? begin + chunk : count);
    }
}

void spin_while_no_job_after(uint32_t seen) {
    for (int32_t left = spins.load(std::memory_order_relaxed); left > 0; left--) {
        if (jobs.load(std::memory_order_acquire) != seen) return;
        relax();
    }
}

void help_with_open_job() {  // called with the mutex, and returns with it
    inside++;
    const Part own = part;
    const void* const of = job;
    const int64_t units = count, size = chunk;
    pthread_mutex_unlock(&mutex);
    take_parts(own, of, units, size);
    pthread_mutex_lock(&mutex);
    if (--inside == 0) pthread_cond_signal(&empty);
}

void announce(Part new_part, const void* new_job, int64_t new_count, int64_t new_chunk) {
    pthread_mutex_lock(&mutex);
    part = new_part;
    job = new_job;
    count = new_count;
    chunk = new_chunk;
    open = true;
    next_unit.store(0, std::memory_order_relaxed);
    jobs.fetch_add(1, std::memory_order_release);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

void wait_for_helpers() {
    pthread_mutex_lock(&mutex);
    open = false;
    while (inside > 0) pthread_cond_wait(&empty, &mutex);
    pthread_mutex_unlock(&mutex);
}

bool has_helpers() {
    pthread_mutex_lock(&mutex);
    const bool any = helpers > asked_to_leave;
    pthread_mutex_unlock(&mutex);
    return any;
}

}  // namespace

void run(Part own, const void* of, int64_t units, int64_t size) {
    const bool alone = units <= size || !has_helpers();
    if (alone || taken.exchange(true, std::memory_order_acquire)) {  // by another caller
        own(of, 0, units);
        return;
    }
    announce(own, of, units, size);
    take_parts(own, of, units, size);
    wait_for_helpers();
    taken.store(false, std::memory_order_release);
}

}  // namespace cloister

using namespace cloister;

// The life of a helper; returns once `cloister_dismiss` asks it to.
CLOISTER_CALL void cloister_help() {
    pthread_mutex_lock(&mutex);
    helpers++;
    uint32_t seen = jobs.load();
    while (asked_to_leave == 0) {
        if (open && jobs.load() != seen) {
            seen = jobs.load();
            help_with_open_job();
            continue;
        }
        const uint32_t now = jobs.load();
        pthread_mutex_unlock(&mutex);
        spin_while_no_job_after(now);
        pthread_mutex_lock(&mutex);
        while (asked_to_leave == 0 && jobs.load() == now) pthread_cond_wait(&changed, &mutex);
    }
    helpers--;
    asked_to_leave--;
    pthread_mutex_unlock(&mutex);
}

// Ask so many helpers to leave; they do when they are done.
CLOISTER_CALL void cloister_dismiss(int32_t number) {
    pthread_mutex_lock(&mutex);
    asked_to_leave += number;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

// How often a helper looks for a next job before it parks.
CLOISTER_CALL void cloister_spin(int32_t number) { spins.store(number); }
