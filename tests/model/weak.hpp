// What the weak-memory tests share. A flaw is chosen when a test is compiled (-DFLAW=...), from those that
// the test names; `unless` weakens an order where its flaw is chosen.
#include <relacy/relacy.hpp>

#include <cstdlib>
#include <iostream>

#ifndef FLAW
#define FLAW NONE
#endif
#ifndef RECORDS
#define RECORDS 3
#endif
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef SWITCHES
#define SWITCHES 2 // at most so many times in a run a process is interrupted
#endif

using rl::mo_acquire;
using rl::mo_relaxed;
using rl::mo_release;
using rl::mo_seq_cst;

#define unless(flaw, order) (FLAW == flaw ? mo_relaxed : order)
#define fence_unless(flaw, order) \
    if (FLAW != flaw) rl::atomic_thread_fence(order, $)

// Run every order with so few interruptions, or with RANDOM so many runs at random; say how it ended.
template <typename Test> int search() {
    std::ostream text(nullptr); // its own words are of no use
    rl::test_params params;
    params.output_stream = params.progress_stream = &text;
    params.context_bound = SWITCHES;
#ifdef RANDOM
    params.search_type = rl::sched_random;
    params.iteration_count = RANDOM;
#else
    params.search_type = rl::sched_bound;
#endif
    bool const holds = rl::simulate<Test>(params);
    std::cout << params.stop_iteration << " executions: "
              << (holds ? "holds" : rl::test_result_str(params.test_result)) << std::endl;
    return 0;
}
