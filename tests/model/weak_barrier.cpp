// A barrier's orders on weak memory: the second reader reads what the first has released, and with it what
// the first did before (it kept each record). When the first has left, the second reads what was released.
#include "weak.hpp"

enum {
    NONE,
    RELEASE_RELAXED,
    AFTER_RELAXED,
    LOOK_RELAXED,
    PUBLISH_RELAXED,
    RETIRE_RELAXED,
    POLICY_RELAXED,
    POSITION_BEFORE_POLICY,
};

struct Barrier : rl::test_suite<Barrier, 3> {
    rl::atomic<int> sequence[RECORDS + 1], position, policy;
    rl::var<int> word[RECORDS + 1], kept[RECORDS + 1];

    void before() {
        for (auto &each : sequence) each($).store(0, mo_relaxed);
        position($).store(0, mo_relaxed);
        policy($).store(1, mo_relaxed);
    }

    void thread(unsigned me) { me == 0 ? write() : me == 1 ? go_first() : come_after(); }

    void write() {
        for (int s = 1; s <= RECORDS; s++) {
            word[s]($) = s;
            sequence[s]($).store(s, unless(PUBLISH_RELAXED, mo_release));
        }
    }

    bool is_there(int s) { return sequence[s]($).load(unless(LOOK_RELAXED, mo_acquire)) == s; }

    void go_first() {
        for (int s = 1; s < RECORDS; s++) {
            while (!is_there(s)) rl::yield(1, $);
            kept[s]($) = word[s]($);
            position($).store(s, unless(RELEASE_RELAXED, mo_release));
        }
        policy($).store(0, unless(RETIRE_RELAXED, mo_release));
    }

    bool has_arrived(int s) {
        return is_there(s) && position($).load(unless(AFTER_RELAXED, mo_acquire)) >= s;
    }

    bool has_ended(int s) {
        if (FLAW == POSITION_BEFORE_POLICY) {
            bool const behind = position($).load(mo_acquire) < s;
            return behind && !policy($).load(mo_acquire);
        }
        if (policy($).load(unless(POLICY_RELAXED, mo_acquire))) return false;
        return position($).load(mo_acquire) < s;
    }

    void come_after() {
        int s = 1;
        while (true)
            if (has_arrived(s)) {
                RL_ASSERT(word[s]($) == s && kept[s]($) == s);
                s++;
            } else if (has_ended(s)) {
                break;
            } else {
                rl::yield(1, $);
            }
        RL_ASSERT(s == RECORDS);
    }
};

int main() { return search<Barrier>(); }
