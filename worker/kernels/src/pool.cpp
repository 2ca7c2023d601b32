// The threads are Python's: each spends its life in one call of `cloister_help`. So nothing here
// starts threads or allocates, and a home counts them like any others.
//
// The caller never waits for a helper that has not begun: it takes parts until none are left,
// closes the job, and waits only for those who are inside. One whose core is busy costs nothing.
// Who waits looks a while before it parks: a step is some hundred short jobs, and parking takes as
// long as some of them. The mutex is for parking alone.
#include "format.h"
#include "pool.h"

#include <pthread.h>

#include <atomic>

namespace cloister {
namespace {

constexpr int LINE = 64;  // bytes: those who look do not slow down those who count

// The job, written before it is opened, while nobody is inside.
Part part;
const void* job;
int64_t count, least, takers;
alignas(LINE) std::atomic<int64_t> next_unit{0};

// Whether a job may be entered, whether its caller has parked, and how many helpers are inside.
constexpr uint32_t OPEN = 1, PARKED = 2, ONE_INSIDE = 4;
alignas(LINE) std::atomic<uint32_t> state{0};
std::atomic<uint32_t> jobs{0};  // so many there have been

std::atomic<bool> taken{false};  // by one caller; others compute alone
std::atomic<int32_t> helpers{0}, asked_to_leave{0}, parked{0}, spins{0};

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t changed = PTHREAD_COND_INITIALIZER;  // there is another job, or helpers shall leave
pthread_cond_t empty = PTHREAD_COND_INITIALIZER;    // the last helper has left a job

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Look for a while whether `done()`.
template <class Done>
bool look(Done done) {
    for (int32_t left = spins.load(std::memory_order_relaxed); left > 0; left--) {
        if (done()) return true;
        relax();
    }
    return done();
}

// Half of one's share of what is left, but not less than is worth the trouble: memory is read in
// long stretches, and all end together (guided self-scheduling, Polychronopoulos and Kuck 1987).
int64_t take(int64_t begin) {
    const int64_t left = count - begin, wanted = left / (2 * takers);
    const int64_t size = wanted > least ? wanted : least;
    return size < left ? size : left;
}

void take_parts() {
    int64_t begin = next_unit.load();
    while (begin < count) {
        const int64_t end = begin + take(begin);
        if (!next_unit.compare_exchange_weak(begin, end)) continue;
        part(job, begin, end);
        begin = next_unit.load();
    }
}

void help_if_open() {
    uint32_t seen = state.load();
    do {
        if (!(seen & OPEN)) return;
    } while (!state.compare_exchange_weak(seen, seen + ONE_INSIDE));
    take_parts();
    if (state.fetch_sub(ONE_INSIDE) != (PARKED | ONE_INSIDE)) return;  // nobody sleeps
    pthread_mutex_lock(&mutex);
    pthread_cond_signal(&empty);
    pthread_mutex_unlock(&mutex);
}

void wake_all() {
    pthread_mutex_lock(&mutex);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

// Either the caller sees that a helper is about to park, or the helper sees the new job.
void park_while_no_job_after(uint32_t seen) {
    pthread_mutex_lock(&mutex);
    parked.fetch_add(1);
    while (jobs.load() == seen && asked_to_leave.load() == 0) pthread_cond_wait(&changed, &mutex);
    parked.fetch_sub(1);
    pthread_mutex_unlock(&mutex);
}

// Whether the asking helper shall leave.
bool leaves() {
    int32_t asked = asked_to_leave.load();
    while (asked > 0)
        if (asked_to_leave.compare_exchange_weak(asked, asked - 1)) return true;
    return false;
}

void announce(Part new_part, const void* new_job, int64_t new_count, int64_t new_least) {
    part = new_part;
    job = new_job;
    count = new_count;
    least = new_least;
    takers = 1 + helpers.load();
    next_unit.store(0, std::memory_order_relaxed);
    state.store(OPEN);
    jobs.fetch_add(1);
    if (parked.load() > 0) wake_all();
}

void wait_for_helpers() {
    state.fetch_sub(OPEN);
    if (look([] { return state.load() == 0; })) return;
    pthread_mutex_lock(&mutex);
    state.fetch_add(PARKED);
    while (state.load() != PARKED) pthread_cond_wait(&empty, &mutex);
    state.store(0);
    pthread_mutex_unlock(&mutex);
}

}  // namespace

void run(Part own, const void* of, int64_t units, int64_t few) {
    const bool alone = units <= few || helpers.load() <= asked_to_leave.load();
    if (alone || taken.exchange(true)) {  // by another caller
        own(of, 0, units);
        return;
    }
    announce(own, of, units, few);
    take_parts();
    wait_for_helpers();
    taken.store(false);
}

}  // namespace cloister

using namespace cloister;

// The life of a helper; returns once `cloister_dismiss` asks it to.
CLOISTER_CALL void cloister_help() {
    helpers.fetch_add(1);
    while (!leaves()) {
        const uint32_t seen = jobs.load();
        help_if_open();
        if (!look([seen] { return jobs.load() != seen; })) park_while_no_job_after(seen);
    }
    helpers.fetch_sub(1);
}

// Ask so many helpers to leave; they do when they are done.
CLOISTER_CALL void cloister_dismiss(int32_t number) {
    asked_to_leave.fetch_add(number);
    wake_all();
}

// How often a waiting thread looks before it parks.
CLOISTER_CALL void cloister_spin(int32_t number) { spins.store(number); }
