/* The ring: one writer, two gating readers; any of them killed at any step and started again.
 * The second reader may stay dead instead: then it is retired, and the writer goes on without it.
 *
 * A record has two words and its sequence; records 1 to RECORDS pass through CAPACITY slots.
 */
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef RECORDS
#define RECORDS 5
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define RISES 0
#ifndef BATCH
#define BATCH 2
#endif
#ifndef DEPTH
#define DEPTH 4
#endif
#define ACTORS 3

#define SEQUENCE(s) ((s) % CAPACITY)
#define WORD(s, w)  (CAPACITY + 2 * ((s) % CAPACITY) + (w))
#define POSITION(r) (3 * CAPACITY + (r))
#define POLICY(r)   (3 * CAPACITY + 2 + (r))
#define WRITTEN     (3 * CAPACITY + 4)
#define CLOSED      (3 * CAPACITY + 5)
#define WORDS       (3 * CAPACITY + 6)
#define MARK        100  /* a slot being rewritten: the negative sequence */
#define VALUE(s, w) (2 * (s) + (w))

#include "memory.pml"

byte published;  /* the last record whose sequence has been stored */
byte gate;       /* the writer's own note in its line: nobody else reads it */
byte got[2];     /* the last record that a reader has read */

#define held(r, s) (mem[POLICY(r)] && mem[POSITION(r)] + CAPACITY < (s))
#define free(s)    (!held(0, s) && !held(1, s))

#ifdef ONE_READER_GATES
#define GATES 1
#else
#define GATES 2
#endif
#ifdef GATE_OFF_BY_ONE
#define ROOM (CAPACITY + 1)
#else
#define ROOM CAPACITY
#endif
#ifdef PUBLISH_RELAXED
#define PUBLISHED RELAXED
#else
#define PUBLISHED RELEASE
#endif
#ifdef CLOSED_TOO_EARLY
#define FINAL(s) (s)
#else
#define FINAL(s) (s) + 1
#endif
#ifdef RECOVER_TAKES_CLAIMED
#define whole(s) (mem[SEQUENCE(s)] == (s) || mem[SEQUENCE(s)] == MARK + (s))
#elif defined(NO_RECOVER_SCAN)
#define whole(s) false
#else
#define whole(s) (mem[SEQUENCE(s)] == (s))
#endif

/* Until there is room: the least position of the readers that gate. */
inline look_at_readers() {
#ifdef NO_GATE
    gate = sent;
#else
    free(sent + CAPACITY + 1 - ROOM);
    lowest = sent;
    r = 0;
    do
    :: r < GATES && mem[POLICY(r)] && mem[POSITION(r)] < lowest -> lowest = mem[POSITION(r)]; r++
    :: r < GATES && !(mem[POLICY(r)] && mem[POSITION(r)] < lowest) -> r++
    :: r == GATES -> break
    od;
    atomic { gate = lowest; lowest = 0; r = 0 }
#endif
}

inline write(s) {
    assert(free(s));
    store(SEQUENCE(s), MARK + s);
    fence_release();
#ifdef PUBLISH_BEFORE_PAYLOAD
    put(SEQUENCE(s), s, PUBLISHED, published = s);
#endif
    store(WORD(s, 0), VALUE(s, 0));
    store(WORD(s, 1), VALUE(s, 1));
#ifndef PUBLISH_BEFORE_PAYLOAD
    put(SEQUENCE(s), s, PUBLISHED, published = s)
#endif
}

proctype Writer(byte me) {
    byte sent, lowest, last, r;
life: skip;
    {
        atomic {
            sent = mem[WRITTEN];
            do
            :: whole(sent + 1) -> sent++
            :: else -> break
            od;
            assert(sent == published)
        }
        store_release(WRITTEN, sent);
        do
        :: sent < RECORDS ->
            if :: gate + ROOM > sent :: else -> look_at_readers() fi;
            if
            :: last = sent + 1
            :: gate + ROOM >= sent + BATCH && RECORDS >= sent + BATCH -> last = sent + BATCH
            fi;
            do
            :: sent < last -> write(sent + 1); sent++
            :: else -> break
            od;
            last = 0;
            store_release(WRITTEN, sent)
        :: else -> break
        od;
        store_release(CLOSED, FINAL(sent));
        alive[me] = 0
    } unless {
        killed[me];
        bury();
        atomic { sent = 0; lowest = 0; last = 0; r = 0 }
        goto life
    }
}

inline read(s) {
#ifdef RELEASE_BEFORE_READ
    store_release(POSITION(me), s);
#endif
    word = mem[WORD(s, 0)];
    atomic {
        assert(word == VALUE(s, 0) && mem[WORD(s, 1)] == VALUE(s, 1));
        assert(s <= got[me] + 1);
        if :: s > got[me] -> got[me] = s :: else fi;
        word = 0
    }
}

proctype Reader(byte me) {
    byte next, released, word;
life: skip;
    {
        atomic {
            released = mem[POSITION(me)];
            assert(released <= got[me] && got[me] <= released + BATCH);
            next = released + 1
        }
        do
        :: mem[SEQUENCE(next)] == next && next <= released + BATCH -> read(next); next++
        :: released + 1 < next -> store_release(POSITION(me), next - 1); released = next - 1
        :: released + 1 == next && mem[CLOSED] && mem[CLOSED] <= next -> break
        od;
        atomic { alive[me] = 0; assert(got[me] == RECORDS); next = 0; released = 0 }
    } unless {
        killed[me];
        bury();
        atomic { next = 0; released = 0; word = 0 }
        if
        :: goto life
        :: me == 1 -> atomic { alive[me] = 0; mem[POLICY(me)] = 0 }
        fi
    }
}

active proctype Rest() {
end: timeout ->
    assert(published == RECORDS && mem[WRITTEN] == RECORDS);
    assert(got[0] == RECORDS && (got[1] == RECORDS || !mem[POLICY(1)]))
}

init {
    atomic {
        mem[POLICY(0)] = 1; mem[POLICY(1)] = 1;
        alive[0] = 1; alive[1] = 1; alive[2] = 1;
        run Core(0); run Core(1); run Core(2);
        run Reader(0); run Reader(1); run Writer(2)
    }
}
