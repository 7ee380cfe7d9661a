import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.LongStream;

/**
 * The shapes that every peer is measured in. One command a line on standard input:
 *
 *   throughput MODE READERS RECORDS WARM  CORE...   records a second of each reader
 *   roundtrip  MODE TRIPS   WARM          CORE CORE percentiles of a trip, ns
 *   offered    MODE RECORDS WARM    RATE  CORE CORE percentiles of arrival - due, ns
 *
 * and one line of JSON for each; cores: the writer's, then the readers'. What a MODE is, the peer
 * knows. The sums of all words read are printed, for whoever asked to check.
 */
final class Runs {
    private static final double[] PERCENTS = {50, 90, 99, 99.9, 99.99};
    private static final long LEAD_NS = 20_000_000; // from the start of the threads to record 1

    /** A transport: opens lanes, several of them for a round trip. */
    interface Peer {
        Lane[] open(String mode, int lanes, int readers, boolean shared);

        /** What must go when the lanes are closed. */
        void close();
    }

    private interface Body {
        void run() throws Exception;
    }

    static void serve(Peer peer) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split(" ");
            System.out.println(
                switch (words[0]) {
                    case "throughput" -> throughput(peer, words);
                    case "roundtrip" -> roundTrip(peer, words);
                    case "offered" -> offered(peer, words);
                    default -> throw new IllegalArgumentException(line);
                });
        }
    }

    private static String throughput(Peer peer, String[] words) throws Exception {
        int readers = Integer.parseInt(words[2]);
        long last = Long.parseLong(words[3]);
        long warm = Long.parseLong(words[4]);
        int[] cores = cores(words, 5);
        boolean shared = Arrays.stream(cores).distinct().count() < cores.length;
        Lane lane = peer.open(words[1], 1, readers, shared)[0];
        double[] rates = new double[readers];
        long[] totals = new long[readers];
        List<Thread> threads = new ArrayList<>();
        for (int number = 0; number < readers; number++) {
            int mine = number;
            Lane.Reader reader = lane.reader(number);
            threads.add(start("reader " + number, cores[1 + number], () -> {
                readUntil(reader, warm, shared);
                long first = reader.next;
                long since = System.nanoTime();
                readUntil(reader, last, shared);
                rates[mine] = (last + 1 - first) * 1e9 / (System.nanoTime() - since);
                totals[mine] = reader.total;
            }));
        }
        threads.add(start("writer", cores[0], () -> lane.send(1, (int) last)));
        finish(peer, threads, lane);
        return String.format(
            Locale.ROOT, "{\"rates\": %s, \"totals\": %s}",
            Arrays.toString(rates), Arrays.toString(totals));
    }

    private static String roundTrip(Peer peer, String[] words) throws Exception {
        int trips = Integer.parseInt(words[2]);
        int warm = Integer.parseInt(words[3]);
        int[] cores = cores(words, 4);
        Lane[] lanes = peer.open(words[1], 2, 1, false);
        Lane.Reader there = lanes[0].reader(0);
        Lane.Reader back = lanes[1].reader(0);
        long[] samples = new long[warm + trips];
        Thread echo = start("echo", cores[1], () -> {
            for (int sequence = 1; sequence <= samples.length; sequence++) {
                readUntil(there, sequence, false);
                lanes[1].send(sequence, 1);
            }
        });
        Thread call = start("call", cores[0], () -> {
            for (int sequence = 1; sequence <= samples.length; sequence++) {
                long begun = System.nanoTime();
                lanes[0].send(sequence, 1);
                readUntil(back, sequence, false);
                samples[sequence - 1] = System.nanoTime() - begun;
            }
        });
        finish(peer, List.of(echo, call), lanes);
        return percentiles(samples, warm, there.total, back.total);
    }

    private static String offered(Peer peer, String[] words) throws Exception {
        int records = Integer.parseInt(words[2]);
        int warm = Integer.parseInt(words[3]);
        double period = 1e9 / Double.parseDouble(words[4]);
        int[] cores = cores(words, 5);
        Lane lane = peer.open(words[1], 1, 1, false)[0];
        Lane.Reader reader = lane.reader(0);
        long[] late = new long[warm + records];
        long start = System.nanoTime() + LEAD_NS;
        reader.pace(late, start, period);
        Thread read = start("reader", cores[1], () -> readUntil(reader, late.length, false));
        Thread write = start("writer", cores[0], () -> {
            for (long sequence = 1; sequence <= late.length; sequence++) {
                while (System.nanoTime() < Lane.due(start, period, sequence)) {
                    Thread.onSpinWait();
                }
                lane.send(sequence, 1);
            }
        });
        finish(peer, List.of(read, write), lane);
        return percentiles(late, warm, reader.total);
    }

    private static void readUntil(Lane.Reader reader, long last, boolean shared) {
        while (reader.next <= last) {
            if (reader.poll() == 0) {
                Lane.rest(shared);
            }
        }
    }

    private static int[] cores(String[] words, int from) {
        return Arrays.stream(words, from, words.length).mapToInt(Integer::parseInt).toArray();
    }

    /** A thread pinned to a core; what goes wrong in it ends the program. */
    private static Thread start(String name, int core, Body body) {
        Thread thread = new Thread(() -> {
            try {
                pin(core);
                body.run();
            } catch (Throwable failure) {
                failure.printStackTrace();
                System.exit(1);
            }
        }, name);
        thread.start();
        return thread;
    }

    private static void pin(int core) throws Exception {
        String task = Files.readSymbolicLink(Path.of("/proc/thread-self")).getFileName().toString();
        Process pinning = new ProcessBuilder("taskset", "-cp", String.valueOf(core), task).start();
        if (pinning.waitFor() != 0) {
            throw new IllegalStateException("taskset could not pin a thread to core " + core);
        }
    }

    private static void finish(Peer peer, List<Thread> threads, Lane... lanes) throws Exception {
        for (Thread thread : threads) {
            thread.join();
        }
        for (Lane lane : lanes) {
            lane.close();
        }
        peer.close();
    }

    private static String percentiles(long[] samples, int from, long... totals) {
        Arrays.sort(samples, from, samples.length);
        int count = samples.length - from;
        String named = Arrays.stream(PERCENTS).mapToObj(percent -> {
            int rank = Math.min((int) Math.ceil(percent / 100 * (count - 1)), count - 1);
            String name = percent == Math.rint(percent) ? "" + (int) percent : "" + percent;
            return "\"p" + name + "\": " + samples[from + rank];
        }).collect(Collectors.joining(", "));
        return "{" + named + ", \"max\": " + samples[samples.length - 1]
            + ", \"totals\": " + LongStream.of(totals).boxed().toList() + "}";
    }
}
