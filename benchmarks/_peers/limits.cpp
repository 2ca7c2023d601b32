// What this machine can do at most: bytes a second that all threads read together, and 8-bit
// multiplications and additions a second. Prints both as JSON; 0 where no way is known to measure.
//
//     g++ -O3 -march=native -pthread limits.cpp && ./a.out THREADS

#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

constexpr int kRounds = 5;
constexpr std::size_t kWords = std::size_t{1} << 27;  // 1 GiB, far beyond any cache
constexpr std::size_t kLine = 8, kAhead = 1024;       // words; prefetching so far gives the most
constexpr std::size_t kLargePage = std::size_t{1} << 21;
constexpr long kTurns = 20'000'000;

static double seconds_of(int threads, const std::function<void(int)>& work) {
  const auto started = std::chrono::steady_clock::now();
  std::vector<std::thread> running;
  for (int index = 0; index < threads; ++index) running.emplace_back(work, index);
  for (auto& thread : running) thread.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

static double best_rate(int threads, double amount, const std::function<void(int)>& work) {
  double best = 0;
  for (int round = 0; round < kRounds; ++round)
    best = std::max(best, amount / seconds_of(threads, work));
  return best;
}

using Words = std::unique_ptr<std::uint64_t[], decltype(&std::free)>;

// In large pages where the system has them, and written, for zeros may be one page again and again.
static Words words_to_read() {
  const std::size_t bytes = kWords * sizeof(std::uint64_t);
  Words words(static_cast<std::uint64_t*>(std::aligned_alloc(kLargePage, bytes)), std::free);
  if (!words) std::abort();
  madvise(words.get(), bytes, MADV_HUGEPAGE);
  std::fill_n(words.get(), kWords, 1);
  return words;
}

static double read_bytes_per_s(int threads) {
  const Words words = words_to_read();
  std::vector<std::uint64_t> sums(threads * 8);  // a cache line each
  const std::size_t share = kWords / threads;
  return best_rate(threads, double(share) * threads * 8, [&](int index) {
    std::uint64_t sum = 0;
    for (std::size_t at = share * index; at + kLine <= share * (index + 1); at += kLine) {
      __builtin_prefetch(&words[at + kAhead]);
      for (std::size_t i = 0; i < kLine; ++i) sum += words[at + i];
    }
    sums[index * 8] = sum;
    asm volatile("" ::"r"(sums.data()) : "memory");
  });
}

#if defined(__AMX_INT8__)
constexpr int kOperations = 0;  // its tiles do more than vectors do; that is not measured here
struct Sum {};
static void add(Sum&) {}
#elif defined(__AVX512VNNI__)
constexpr int kOperations = 128;
using Sum = __m512i;
static inline void add(Sum& sum) { asm volatile("vpdpbusd %0, %0, %0" : "+v"(sum)); }
#elif defined(__AVXVNNI__)
constexpr int kOperations = 64;
using Sum = __m256i;
static inline void add(Sum& sum) { asm volatile("%{vex%} vpdpbusd %0, %0, %0" : "+x"(sum)); }
#elif defined(__AVX2__)
constexpr int kOperations = 64;
using Sum = __m256i;
static inline void add(Sum& sum) {
  const __m256i pairs = _mm256_maddubs_epi16(sum, sum);
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, pairs));
  asm volatile("" : "+x"(sum));
}
#else
constexpr int kOperations = 0;
struct Sum {};
static void add(Sum&) {}
#endif

static double int8_operations_per_s(int threads) {
  if (kOperations == 0) return 0;
  constexpr int kSums = 12;  // enough in flight to hide an instruction's latency
  return best_rate(threads, double(kTurns) * kSums * kOperations * threads, [](int) {
    Sum sums[kSums] = {};
    for (long turn = 0; turn < kTurns; ++turn)
      for (auto& sum : sums) add(sum);
  });
}

int main(int count, char** words) {
  const int threads = count > 1 ? std::max(1, std::atoi(words[1])) : 1;
  std::printf("{\"bytes_per_s\": %.4g, \"int8_per_s\": %.4g}\n", read_bytes_per_s(threads),
              int8_operations_per_s(threads));
}
