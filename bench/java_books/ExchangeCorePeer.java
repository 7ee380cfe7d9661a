import exchange.core2.collections.objpool.ObjectsPool;
import exchange.core2.core.common.CoreSymbolSpecification;
import exchange.core2.core.common.MatcherEventType;
import exchange.core2.core.common.MatcherTradeEvent;
import exchange.core2.core.common.OrderAction;
import exchange.core2.core.common.OrderType;
import exchange.core2.core.common.SymbolType;
import exchange.core2.core.common.cmd.OrderCommand;
import exchange.core2.core.common.config.LoggingConfiguration;
import exchange.core2.core.orderbook.OrderBookDirectImpl;
import exchange.core2.core.orderbook.OrderBookEventsHelper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;

/**
 * exchange-core's book, called directly: no pipeline around it, no risk engine, no journal.
 *
 * A line on standard input is the path of a flow: records of five words, little-endian: kind (0 a
 * limit order, 1 the same, immediate or cancel, 2 cancel), side, order, price, quantity. The answer
 * is a line of JSON: ns a message, percentiles of single ones, what traded and what rests.
 */
final class ExchangeCorePeer {
    private static final int WORDS = 5;
    private static final int EVERY = 16; // one of so many is timed by itself, in a pass of its own
    private static final int WARM_PASSES = 8; // for its compiler, before the first answer
    private static final long USER = 1;
    private static final ThreadMXBean CLOCK = ManagementFactory.getThreadMXBean();

    private final ByteBuffer flow;
    private final OrderCommand command = new OrderCommand();
    private OrderBookDirectImpl book;
    private long trades;
    private long traded;
    private long rejected;

    private ExchangeCorePeer(Path path) throws Exception {
        flow = ByteBuffer.wrap(Files.readAllBytes(path)).order(ByteOrder.LITTLE_ENDIAN);
    }

    public static void main(String[] words) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        boolean warm = false;
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            ExchangeCorePeer peer = new ExchangeCorePeer(Path.of(line));
            for (int pass = 0; !warm && pass < WARM_PASSES; pass++) {
                peer.pass(null);
            }
            warm = true;
            System.out.println(peer.answer());
        }
    }

    private int messages() {
        return flow.capacity() / (8 * WORDS);
    }

    private String answer() {
        long[] samples = new long[(messages() + EVERY - 1) / EVERY];
        pass(samples);
        System.gc();
        double each = (double) pass(null) / messages();
        Arrays.sort(samples);
        return String.format(
            Locale.ROOT,
            "{\"ns\": %.2f, \"one p50\": %d, \"one p99\": %d, \"one max\": %d, \"trades\": %d,"
                + " \"traded\": %d, \"rejected\": %d, \"bids\": %d, \"asks\": %d}",
            each,
            samples[samples.length / 2],
            samples[(int) (samples.length * 0.99)],
            samples[samples.length - 1],
            trades,
            traded,
            rejected,
            book.getTotalOrdersVolume(OrderAction.BID),
            book.getTotalOrdersVolume(OrderAction.ASK));
    }

    /** One pass from an empty book; the processor's ns that it took. */
    private long pass(long[] samples) {
        CoreSymbolSpecification symbol = CoreSymbolSpecification.builder()
            .symbolId(1).type(SymbolType.CURRENCY_EXCHANGE_PAIR).baseCurrency(1).quoteCurrency(2)
            .baseScaleK(1).quoteScaleK(1).takerFee(0).makerFee(0).build();
        book = new OrderBookDirectImpl(
            symbol,
            ObjectsPool.createDefaultTestPool(),
            OrderBookEventsHelper.NON_POOLED_EVENTS_HELPER,
            LoggingConfiguration.DEFAULT);
        trades = traded = rejected = 0;
        int count = messages();
        long begun = CLOCK.getCurrentThreadCpuTime();
        for (int number = 0; number < count; number++) {
            if (samples == null || number % EVERY != 0) {
                take(number);
            } else {
                long since = System.nanoTime();
                take(number);
                samples[number / EVERY] = System.nanoTime() - since;
            }
        }
        return CLOCK.getCurrentThreadCpuTime() - begun;
    }

    private void take(int number) {
        int place = 8 * WORDS * number;
        long kind = flow.getLong(place);
        command.orderId = flow.getLong(place + 16);
        command.uid = USER;
        command.matcherEvent = null;
        if (kind == 2) {
            if (book.cancelOrder(command) != exchange.core2.core.common.cmd.CommandResultCode.SUCCESS) {
                rejected++;
            }
            return;
        }
        command.orderType = kind == 1 ? OrderType.IOC : OrderType.GTC;
        command.action = flow.getLong(place + 8) == 0 ? OrderAction.BID : OrderAction.ASK;
        command.price = command.reserveBidPrice = flow.getLong(place + 24);
        command.size = flow.getLong(place + 32);
        command.timestamp = number;
        book.newOrder(command);
        for (MatcherTradeEvent event = command.matcherEvent; event != null; event = event.nextEvent) {
            if (event.eventType == MatcherEventType.TRADE) {
                trades++;
                traded += event.size;
            }
        }
    }
}
