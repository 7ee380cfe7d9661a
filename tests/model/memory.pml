/* Memory as processes see it: words that all share, and stores of each process that show late.
 *
 * A store waits in its process's buffer until Core lets it out: in order, as on x86-64, or with -DWEAK in
 * any order that release stores and release fences leave, as on aarch64. A process sees its own stores
 * at once. A full fence and a futex call wait until its buffer is empty. Loads are made in order.
 * A process may be killed in front of any step: what it has stored still shows, then its next life begins.
 * Whatever waits is blocked until the word it looks at has changed, so every run comes to rest.
 *
 * A model says first: WORDS, ACTORS, DEPTH (stores that may wait), KILLS, RISES (wake-ups for no reason).
 */
#define RELAXED 0
#define RELEASE 1
#define FENCE   2

typedef Buffer { byte count; byte where[DEPTH]; byte what[DEPTH]; byte kind[DEPTH] }

byte mem[WORDS];
Buffer late[ACTORS];
bit alive[ACTORS], killed[ACTORS], asleep[ACTORS];
byte kills = KILLS, rises = RISES;

/* `atomic { true; d_step` and not d_step alone: a loop may end in front of it. */
inline load(from, into) {
    atomic { true; d_step {
        into = mem[from];
        i = 0;
        do
        :: i < late[me].count ->
            if
            :: late[me].kind[i] != FENCE && late[me].where[i] == from -> into = late[me].what[i]
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    } }
}

/* note: what the model writes down in the same moment */
#define put(place, value, order, note) \
    atomic { \
        late[me].count < DEPTH; \
        d_step { \
            late[me].where[late[me].count] = place; \
            late[me].what[late[me].count] = value; \
            late[me].kind[late[me].count] = order; \
            late[me].count++; \
            note \
        } \
    }

#define store(place, value)         put(place, value, RELAXED, skip)
#define store_release(place, value) put(place, value, RELEASE, skip)
#define fence_full()                (late[me].count == 0)
#ifdef WEAK
#define fence_release() \
    if \
    :: late[me].count > 0 -> put(0, 0, FENCE, skip) \
    :: late[me].count == 0 \
    fi
#else
#define fence_release() skip
#endif

/* No time limit here: a sleeper that nobody wakes sleeps for ever, and is found. */
inline futex_wait(place, value) {
    fence_full();
    asleep[me] = (mem[place] == value);
end_asleep:
    !asleep[me]
}

inline futex_wake(who) {
    atomic { fence_full(); asleep[who] = 0 }
}

inline bury() {
    atomic { fence_full(); killed[me] = 0; asleep[me] = 0 }
}

/* Which store goes first: the oldest, or on a weak memory any that no rule holds back. */
inline choose(k) {
#ifdef WEAK
    do
    :: k + 1 < late[me].count && late[me].kind[k] != FENCE -> k++
    :: break
    od;
    if
    :: k > 0 && late[me].kind[k] != RELAXED -> k = 0
    :: else ->
        j = 0;
        do
        :: j < k && late[me].where[j] != late[me].where[k] -> j++
        :: j < k && late[me].where[j] == late[me].where[k] -> k = j
        :: j >= k -> break
        od;
        if :: k > 0 && late[me].kind[k] != RELAXED -> k = 0 :: else fi
    fi;
    j = 0
#else
    k = 0
#endif
}

proctype Core(byte me) {
    byte k, j;
end:
    do
    :: atomic {
        late[me].count > 0;
        choose(k);
        d_step {
            if
            :: late[me].kind[k] != FENCE -> mem[late[me].where[k]] = late[me].what[k]
            :: else
            fi;
            late[me].count--;
            do
            :: k < late[me].count ->
                late[me].where[k] = late[me].where[k + 1];
                late[me].what[k] = late[me].what[k + 1];
                late[me].kind[k] = late[me].kind[k + 1];
                k++
            :: else -> break
            od;
            late[me].where[k] = 0; late[me].what[k] = 0; late[me].kind[k] = 0;
            k = 0
        }
       }
    :: atomic { kills > 0 && alive[me] && !killed[me]; kills--; killed[me] = 1 }
    :: atomic { rises > 0 && asleep[me]; rises--; asleep[me] = 0 }
    od
}
