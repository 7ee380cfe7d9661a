/* Recovery: a stateful stage dies and goes on from a snapshot and the journal; nobody behind it sees that.
 *
 *   Source -> ring `events` -> Stage -> ring `out` -> two gating sinks
 *                  |             ^
 *                  +-> Journal -> file -> Replica -> snapshots
 *
 * An input has no, one or two outputs; the stage adds inputs up, and every output holds the sum: an input that
 * is folded in twice, not at all, or from a slot that has been overwritten shows in all that follows.
 * Any process may be killed in front of any store, or while it waits, KILLS times in all, and starts again.
 *
 * Memory is in order here, and a store and the death in front of it are one step; ring.pml has late stores.
 * With -DSYNC the stage comes after the journal. With -DKEEP the journal lets go of what the older of the two
 * snapshots covers; the replica then stays behind the stage, and a snapshot may be found damaged.
 */
#ifndef CAPACITY
#define CAPACITY 2 /* of `events` */
#endif
#ifndef ROOM
#define ROOM 2 /* capacity of `out` */
#endif
#ifndef RECORDS
#define RECORDS 5
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef BATCH
#define BATCH 2 /* records that a reader reads before it must release them */
#endif
#ifndef SINKS
#define SINKS 2
#endif
#define JOURNAL 0
#define STAGE   1

/* What must come out. Input s holds s; of three inputs the first has one output, the second two. */
#define OUTPUTS_OF(s) ((s) % 3)
#define OUTPUTS       (RECORDS / 3 * 3 + RECORDS % 3 * (RECORDS % 3 + 1) / 2)
#define CAUSE(t)      ((t) % 3 == 0 -> (t) - 1 : (t))
#define SUM(s)        (((s) * ((s) + 1) / 2) % 8)
#define VALUE(t, sum) (8 * (t) + (sum))

byte sequence[CAPACITY], word[CAPACITY]; /* ring `events` */
byte written, position[2];
byte out_sequence[ROOM], out_word[ROOM]; /* ring `out` */
byte out_written, out_position[SINKS];

#define GONE 1
#define TORN 2
#define WHOLE(value) (3 + (value))
byte file[RECORDS + 2]; /* the journal, by sequence; 0: it is not that long */
#define logged(s) (file[s] >= WHOLE(0))
#define kept(s)   (logged(s) || file[s] == GONE)

byte taken_in[2], given_out[2], sum_then[2]; /* snapshots: inputs folded in, outputs given, state */
bit whole[2];

byte got[SINKS]; /* the last record that a sink has; it puts each where its sequence says */
byte kills = KILLS;
#ifdef KEEP
bit damage = 1;
#endif

#define die       atomic { kills > 0 -> kills--; goto life }
#define step(act) if :: atomic { act } :: die fi

#define is_free(s)      (position[JOURNAL] + CAPACITY >= (s) && position[STAGE] + CAPACITY >= (s))
#define out_is_free(t)  (out_position[0] + ROOM >= (t) && out_position[SINKS - 1] + ROOM >= (t))
#define is_done_with(t) (out_position[0] >= (t) && out_position[SINKS - 1] >= (t))

proctype Source() {
    byte sent;
life:
    atomic {
        sent = written;
        do
        :: sequence[(sent + 1) % CAPACITY] == sent + 1 -> sent++
        :: else -> break
        od;
        written = sent
    }
end:
    do
    :: atomic { sent < RECORDS && is_free(sent + 1) ->
            assert(sent < CAPACITY || kept(sent + 1 - CAPACITY));
            word[(sent + 1) % CAPACITY] = sent + 1
        }
        step(sequence[(sent + 1) % CAPACITY] = sent + 1; sent++);
        step(written = sent)
    :: die
    od
}

#ifdef APPEND_FROM_POSITION
#define PLACE (next + shift)
#else
#define PLACE next
#endif

/* A record is whole in the file once its chain value is: till then it is torn, and a successor cuts it off. */
proctype Journal() {
    byte next, shift;
life:
    atomic {
        next = 1;
        do :: kept(next) -> next++ :: else -> break od;
#ifdef TORN_TAIL_LEFT
        if :: file[next] == TORN -> next++ :: else fi;
#else
        file[next] = 0;
#endif
#ifdef APPEND_FROM_POSITION
        shift = next - 1 - position[JOURNAL];
        next = position[JOURNAL] + 1
#endif
    }
end:
    do
#ifdef JOURNAL_RELEASES_FIRST
    :: atomic { sequence[next % CAPACITY] == next -> position[JOURNAL] = next }
        step(file[next] = TORN);
#else
    :: atomic {
            sequence[next % CAPACITY] == next && next <= position[JOURNAL] + BATCH && PLACE <= RECORDS ->
            file[PLACE] = TORN
        }
#endif
        step(file[PLACE] = WHOLE(word[next % CAPACITY]); next++)
    :: atomic { position[JOURNAL] + 1 < next -> position[JOURNAL] = next - 1 }
    :: die
    od
}

#ifdef TORN_SNAPSHOT_TAKEN
#define is_whole(k) true
#else
#define is_whole(k) whole[k]
#endif
#ifdef SNAPSHOT_AHEAD
#define fits(k, limit) is_whole(k)
#else
#define fits(k, limit) (is_whole(k) && given_out[k] <= (limit))
#endif
#define newer(k, limit) (fits(k, limit) && !(fits(1 - (k), limit) && taken_in[1 - (k)] > taken_in[k]))

/* The newest whole snapshot that had not given more than `limit`; else the beginning. */
inline load(limit) {
    if
    :: newer(0, limit) -> next = taken_in[0] + 1; made = given_out[0]; sum = sum_then[0]
    :: newer(1, limit) -> next = taken_in[1] + 1; made = given_out[1]; sum = sum_then[1]
    :: !fits(0, limit) && !fits(1, limit) -> next = 1; made = 0; sum = 0
    fi
}

inline fold_in(value) {
    sum = (sum + value) % 8;
    left = OUTPUTS_OF(next);
    next++
}

#define NEWEST (newer(0, 255) -> taken_in[0] : (newer(1, 255) -> taken_in[1] : 0))
#if defined(KEEP) && !defined(REPLICA_AHEAD)
#define may_follow(s) (logged(s) && position[STAGE] >= (s))
#else
#define may_follow(s) logged(s)
#endif
#ifdef KEPT_FOR_NEWEST_ONLY
#define needless(s) ((s) <= taken_in[k])
#else
#define needless(s) ((s) <= taken_in[1 - k])
#endif
#ifdef SNAPSHOT_IN_PLACE
#define SLOT   0
#define BEGUN  1
#else
#define SLOT  (newer(0, 255) -> 1 : 0) /* not the newest */
#define BEGUN 0
#endif

/* Follows the journal, and writes down where it is, whenever it likes. */
proctype Replica() {
    byte next, made, sum, left, k;
life:
    atomic { next = 0; made = 0; sum = 0; left = 0; k = 0 }
end:
    do
    :: atomic { NEWEST < RECORDS && may_follow(NEWEST + 1) ->
            d_step { load(255); k = SLOT }
            do
            :: d_step { may_follow(next) -> fold_in(file[next] - WHOLE(0)); made = made + left; left = 0 }
            :: next > NEWEST + 1 -> break
            od;
            taken_in[k] = next - 1;
            whole[k] = BEGUN
        }
        step(given_out[k] = made; sum_then[k] = sum; whole[k] = 1; next = 0; made = 0; sum = 0);
#ifdef KEEP
        step(d_step {
            next = 1;
            do
            :: whole[1 - k] && needless(next) -> file[next] = GONE; next++
            :: else -> break
            od;
            next = 0; k = 0 })
#endif
    :: die
    od
}

#ifdef NO_RECOVER_SCAN
#define is_shown(t) false
#else
#define is_shown(t) (out_sequence[(t) % ROOM] == (t))
#endif
#ifdef RESUME_FROM_SNAPSHOT
#define DROPPED(t) false
#else
#define DROPPED(t) ((t) <= shown)
#endif
#ifdef REPLAY_IGNORES_ROOM
#define has_room(t) (replaying || out_is_free(t))
#else
#define has_room(t) out_is_free(t)
#endif
/* Never a ring beyond `written`: who recovers looks for what has been published from there on, or at all
 * slots with -DSCAN, so that `written` may stand still. */
#if defined(ADVANCE_TOO_LATE) || defined(SCAN)
#define AHEAD 255
#else
#define AHEAD ROOM
#endif
#define PAYLOAD out_word[(made + 1) % ROOM] = VALUE(made + 1, sum)
#define PUBLISH out_sequence[(made + 1) % ROOM] = made + 1
#ifdef PUBLISH_BEFORE_PAYLOAD
#define FIRST_STORE  PUBLISH
#define SECOND_STORE PAYLOAD
#else
#define FIRST_STORE  PAYLOAD
#define SECOND_STORE PUBLISH
#endif
#ifdef REPLAY_ENDS_AT_POSITION
#define is_behind (next <= position[STAGE])
#elif defined(REPLAY_ENDS_AT_SHOWN)
#define is_behind (made < shown)
#elif defined(NO_WAIT_FOR_JOURNAL)
#define is_behind ((next <= position[STAGE] || made < shown) && logged(next))
#elif defined(NO_REPLAY)
#define is_behind false
#else
#define is_behind (next <= position[STAGE] || made < shown)
#endif
#ifdef TORN_RECORD_TAKEN
#define is_readable(s) file[s]
#else
#define is_readable(s) logged(s)
#endif
#if defined(SYNC) && !defined(NO_BARRIER)
#define has_arrived(s) (sequence[(s) % CAPACITY] == (s) && position[JOURNAL] >= (s))
#else
#define has_arrived(s) (sequence[(s) % CAPACITY] == (s))
#endif

inline take(value) {
    fold_in(value);
    do
    :: left > 0 && DROPPED(made + 1) -> made++; left--
    :: else -> break
    od
}

proctype Stage() {
    byte next, made, sum, left, shown;
    bit replaying;
life:
    atomic {
        left = 0;
        shown = out_written;
        do
#ifdef SCAN
        :: left < ROOM -> shown = (out_sequence[left] > shown -> out_sequence[left] : shown); left++
#else
        :: is_shown(shown + 1) -> shown++
#endif
        :: else -> break
        od;
        left = 0;
        out_written = shown;
#ifdef SHOWN_TOO_LOW
        shown = (shown -> shown - 1 : 0);
#elif defined(SHOWN_TOO_HIGH)
        shown++;
#endif
#ifdef KEEP
        if
        :: damage && whole[0] && whole[1] -> damage = 0; whole[0] = 0
        :: damage && whole[0] && whole[1] -> damage = 0; whole[1] = 0
        :: true
        fi;
#endif
        load(shown);
#ifdef REPLAY_FROM_SNAPSHOT
        next = (next > 1 -> next - 1 : 1);
#elif defined(NO_REPLAY)
        made = shown; next = position[STAGE] + 1;
#endif
        assert(file[next] != GONE);
        replaying = 1
    }
end:
    do
    :: atomic { replaying && left == 0 && is_behind && is_readable(next) ->
            take(file[next] - WHOLE(0))
        }
#ifndef NOT_BEGUN_AGAIN
    :: atomic { replaying && file[next] == GONE -> goto life }
#endif
    :: atomic { replaying && left == 0 && !is_behind ->
#ifndef NOT_RELEASED_AGAIN
            position[STAGE] = (next - 1 > position[STAGE] -> next - 1 : position[STAGE]);
#endif
            next = position[STAGE] + 1;
            replaying = 0; shown = 0
        }
    :: atomic { !replaying && left == 0 && has_arrived(next) && next <= position[STAGE] + BATCH ->
#ifdef RELEASE_BEFORE_PUBLISHED
            position[STAGE] = next;
#endif
            take(word[next % CAPACITY])
        }
    :: atomic { left > 0 && made < out_written + AHEAD && has_room(made + 1) ->
            assert(is_done_with(out_sequence[(made + 1) % ROOM]));
            FIRST_STORE
        }
        step(SECOND_STORE; made++; left--)
    :: atomic { out_written < made && (left == 0 || made == out_written + AHEAD) -> out_written = made }
    :: atomic { !replaying && left == 0 && out_written == made && position[STAGE] + 1 < next ->
            position[STAGE] = next - 1
        }
    :: die
    od
}

proctype Sink(byte me) {
    byte next;
life:
    atomic { next = out_position[me] + 1 }
end:
    do
    :: atomic { out_sequence[next % ROOM] == next && next <= out_position[me] + BATCH ->
            assert(out_word[next % ROOM] == VALUE(next, SUM(CAUSE(next))));
            assert(next <= got[me] + 1);
#ifdef SYNC
            assert(kept(CAUSE(next)));
#endif
            got[me] = (next > got[me] -> next : got[me]);
            next++
        }
    :: atomic { out_position[me] + 1 < next -> out_position[me] = next - 1 }
    :: die
    od
}

active proctype Rest() {
end: timeout ->
    assert(written == RECORDS && out_written == OUTPUTS && kept(RECORDS));
    assert(position[JOURNAL] == RECORDS && position[STAGE] == RECORDS);
    assert(got[0] == OUTPUTS && got[SINKS - 1] == OUTPUTS)
}

init {
    atomic {
        run Source(); run Journal(); run Replica(); run Stage();
        run Sink(0);
#if SINKS > 1
        run Sink(1)
#endif
    }
}
