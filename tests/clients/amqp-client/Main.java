import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.MessageProperties;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/** amqp-client: RabbitMQ's own in Java. Confirms, and what is declared and refused, are in files of their own. */
final class Main {
    static final long PATIENCE_MS = 40_000;

    final String address;
    final String name;
    final Connection connection;

    private Main(String address, String name) throws Exception {
        this.address = address;
        this.name = name;
        this.connection = factory(address, "guest").newConnection();
    }

    public static void main(String[] arguments) throws Exception {
        Main main = new Main(arguments[1], arguments[2]);
        switch (arguments[0]) {
            case "messages_come_back_whole" -> main.messagesComeBackWhole();
            case "confirms_are_counted" -> new Confirms(main).areCounted();
            case "deliveries_are_settled_in_every_way" -> main.deliveriesAreSettledInEveryWay();
            case "topologies_are_declared" -> new Topologies(main).areDeclared();
            case "requests_are_answered" -> main.requestsAreAnswered();
            case "priorities_and_times_are_kept" -> main.prioritiesAndTimesAreKept();
            case "streams_are_read_again" -> main.streamsAreReadAgain();
            case "many_channels_work_at_once" -> main.manyChannelsWorkAtOnce();
            case "strangers_are_refused" -> main.strangersAreRefused();
            case "idle_connections_stay" -> main.idleConnectionsStay();
            default -> throw new IllegalArgumentException(arguments[0] + " is no scenario");
        }
        main.connection.close();
    }

    static ConnectionFactory factory(String address, String password) {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setHost(address.substring(0, address.lastIndexOf(':')));
        factory.setPort(Integer.parseInt(address.substring(address.lastIndexOf(':') + 1)));
        factory.setPassword(password);
        return factory;
    }

    private void messagesComeBackWhole() throws Exception {
        Channel channel = confirming();
        channel.queueDeclare(name, false, false, true, null);
        Map<String, Object> headers = new HashMap<>();
        headers.put("text", "firth \u00e9");
        headers.put("byte", (byte) -5);
        headers.put("short", (short) -300);
        headers.put("int", -70_000);
        headers.put("long", 1L << 40);
        headers.put("float", 2.5f);
        headers.put("double", 1.25);
        headers.put("yes", true);
        headers.put("nothing", null);
        headers.put("bytes", new byte[] {0, -1});
        headers.put("list", List.of("a", 1, List.of(false)));
        headers.put("table", Map.of("inner", Map.of("deep", "er")));
        headers.put("when", new Date(1_357_000_000_000L));
        headers.put("decimal", new BigDecimal("3.14"));
        AMQP.BasicProperties sent = new AMQP.BasicProperties("text/plain", "identity", headers, 2, 3, "c", "r", "60000", "m",
            new Date(1_357_000_000_000L), "t", "guest", "a", null);
        int[] sizes = {0, 1, 131_063, 131_064, 131_065, 1 << 20, 5_000_001};
        for (int size : sizes) {
            publish(channel, name, sent, body(size));
        }
        List<Delivery> found = take(channel, name, sizes.length, true, Map.of());
        for (int i = 0; i < sizes.length; i++) {
            Delivery each = found.get(i);
            same(Arrays.equals(each.getBody(), body(sizes[i])), true, "the body of " + sizes[i]);
            AMQP.BasicProperties properties = each.getProperties();
            same(readable(properties.getHeaders()), readable(headers), "headers");
            same(properties.builder().headers(headers).build(), sent, "properties");
            same(List.of(each.getEnvelope().getExchange(), each.getEnvelope().getRoutingKey(), each.getEnvelope().isRedeliver()),
                List.of("", name, false), "how it comes");
        }
    }

    /** Texts and arrays of bytes in a form that can be compared. */
    private static Object readable(Object value) {
        if (value instanceof Map<?, ?> map) {
            Map<String, Object> all = new HashMap<>();
            map.forEach((key, each) -> all.put((String) key, readable(each)));
            return all;
        }
        if (value instanceof List<?> list) {
            return list.stream().map(Main::readable).toList();
        }
        if (value instanceof byte[] bytes) {
            return Arrays.toString(bytes);
        }
        return value instanceof LongString text ? text.toString() : value;
    }

    private void deliveriesAreSettledInEveryWay() throws Exception {
        Channel channel = connection.createChannel();
        String dead = name + "-dead";
        channel.queueDeclare(name, false, false, false, Map.of("x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead));
        channel.queueDeclare(dead, false, true, false, null);
        for (int n = 0; n < 10; n++) {
            channel.basicPublish("", name, null, text(n));
        }
        channel.basicQos(6);
        List<Delivery> first = take(channel, name, 6, false, Map.of());
        same(first.stream().map(each -> number(each.getBody())).toList(), numbers(0, 6), "the first six");
        channel.basicAck(2, true);
        channel.basicNack(4, false, true);
        channel.basicReject(3, false);
        channel.basicNack(6, true, true);
        waitForReady(name, 7);
        GetResponse second = channel.basicGet(name, false);
        same(List.of(number(second.getBody()), second.getEnvelope().isRedeliver(), second.getMessageCount()), List.of(3, true, 6), "got");
        channel.close();
        waitForReady(name, 7);

        Channel other = connection.createChannel();
        List<Delivery> rest = take(other, name, 7, false, Map.of());
        for (int n = 3; n < 10; n++) {
            Delivery each = rest.get(n - 3);
            same(List.of(number(each.getBody()), each.getEnvelope().isRedeliver()), List.of(n, n < 6), "what comes again");
        }
        other.basicRecover();
        waitForReady(name, 7);
        List<Delivery> last = take(other, name, 7, false, Map.of());
        other.basicNack(last.get(6).getEnvelope().getDeliveryTag(), true, false);
        waitForReady(dead, 8);
        GetResponse letter = other.basicGet(dead, true);
        Map<?, ?> death = (Map<?, ?>) ((List<?>) letter.getProps().getHeaders().get("x-death")).get(0);
        same(List.of(number(letter.getBody()), death.get("reason").toString(), death.get("queue").toString(), death.get("count")),
            List.of(2, "rejected", name, 1L), "the dead letter");
        other.queueDelete(name);
    }

    private void requestsAreAnswered() throws Exception {
        Channel server = connection.createChannel();
        server.queueDeclare(name, false, true, false, null);
        server.basicConsume(name, true, (tag, request) -> {
            AMQP.BasicProperties properties = request.getProperties();
            AMQP.BasicProperties reply = new AMQP.BasicProperties.Builder().correlationId(properties.getCorrelationId()).build();
            server.basicPublish("", properties.getReplyTo(), reply, request.getBody());
        }, tag -> { });
        try (Connection second = factory(address, "guest").newConnection()) {
            Channel client = second.createChannel();
            String pseudo = "amq.rabbitmq.reply-to";
            BlockingQueue<Delivery> replies = new LinkedBlockingQueue<>();
            client.basicConsume(pseudo, true, (tag, reply) -> replies.add(reply), tag -> { });
            for (int n = 0; n < 300; n++) {
                AMQP.BasicProperties.Builder request = new AMQP.BasicProperties.Builder().replyTo(pseudo);
                client.basicPublish("", name, request.correlationId("" + n).build(), text(n));
            }
            for (int n = 0; n < 300; n++) {
                Delivery reply = next(replies);
                same(List.of(number(reply.getBody()), reply.getProperties().getCorrelationId()), List.of(n, "" + n), "the reply");
            }
        }
    }

    private void prioritiesAndTimesAreKept() throws Exception {
        Channel channel = confirming();
        String queue = channel.queueDeclare("", false, true, false, Map.of("x-max-priority", 5)).getQueue();
        for (int priority : new int[] {1, 5, 3, 5, 0}) {
            publish(channel, queue, new AMQP.BasicProperties.Builder().priority(priority).build(), text(priority));
        }
        List<Integer> found = take(channel, queue, 5, true, Map.of()).stream().map(each -> number(each.getBody())).toList();
        same(found, List.of(5, 5, 3, 1, 0), "the order");
        String expiring = channel.queueDeclare("", false, true, false, Map.of("x-message-ttl", 200)).getQueue();
        publish(channel, expiring, null, text(1));
        publish(channel, queue, new AMQP.BasicProperties.Builder().expiration("100").build(), text(2));
        waitForReady(expiring, 0);
        waitForReady(queue, 0);
    }

    private void streamsAreReadAgain() throws Exception {
        Channel channel = confirming();
        channel.queueDeclare(name, true, false, false, Map.of("x-queue-type", "stream"));
        for (int n = 0; n < 50; n++) {
            publish(channel, name, null, text(n));
        }
        channel.basicQos(100);
        for (Map.Entry<Integer, Object> each : Map.<Integer, Object>of(0, "first", 20, 20L).entrySet()) {
            int begin = each.getKey();
            List<Delivery> found = take(channel, name, 50 - begin, false, Map.of("x-stream-offset", each.getValue()));
            for (int n = begin; n < 50; n++) {
                Delivery delivery = found.get(n - begin);
                Object offset = delivery.getProperties().getHeaders().get("x-stream-offset");
                same(List.of(number(delivery.getBody()), offset), List.of(n, (long) n), "what is read");
            }
        }
        channel.queueDelete(name);
    }

    private void manyChannelsWorkAtOnce() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(20);
        List<Future<?>> all = new ArrayList<>();
        for (int n = 0; n < 100; n++) {
            int begin = 1000 * n;
            all.add(threads.submit(() -> {
                Channel channel = confirming();
                String queue = channel.queueDeclare().getQueue();
                for (int k = 0; k < 50; k++) {
                    channel.basicPublish("", queue, MessageProperties.BASIC, text(begin + k));
                }
                channel.waitForConfirmsOrDie(PATIENCE_MS);
                List<Delivery> found = take(channel, queue, 50, false, Map.of());
                same(found.stream().map(each -> number(each.getBody())).toList(), numbers(begin, begin + 50), "what comes");
                channel.basicAck(50, true);
                same(channel.queueDelete(queue).getMessageCount(), 0, "what is left");
                return null;
            }));
        }
        for (Future<?> each : all) {
            each.get(PATIENCE_MS, TimeUnit.MILLISECONDS);
        }
        threads.shutdown();
    }

    private void strangersAreRefused() throws Exception {
        try {
            factory(address, "wrong").newConnection();
        } catch (AuthenticationFailureException refusal) {
            String text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN";
            same(refusal.getMessage().startsWith(text), true, refusal.getMessage());
            return;
        }
        throw new AssertionError("a stranger was let in");
    }

    private void idleConnectionsStay() throws Exception {
        ConnectionFactory factory = factory(address, "guest");
        factory.setRequestedHeartbeat(1);
        factory.setAutomaticRecoveryEnabled(false);
        try (Connection idle = factory.newConnection()) {
            Channel channel = idle.createChannel();
            channel.queueDeclare(name, false, true, false, null);
            Thread.sleep(4000);
            same(channel.queueDeclarePassive(name).getConsumerCount(), 0, "consumers");
        }
    }

    Channel confirming() throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        return channel;
    }

    static void publish(Channel channel, String queue, AMQP.BasicProperties properties, byte[] body) throws Exception {
        channel.basicPublish("", queue, properties, body);
        channel.waitForConfirmsOrDie(PATIENCE_MS);
    }

    /** The next messages of a consumer, which then goes. */
    static List<Delivery> take(Channel channel, String queue, int count, boolean autoAck, Map<String, Object> arguments) throws Exception {
        BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
        String tag = channel.basicConsume(queue, autoAck, arguments, (ignored, each) -> deliveries.add(each), ignored -> { });
        List<Delivery> taken = new ArrayList<>();
        while (taken.size() < count) {
            taken.add(next(deliveries));
        }
        channel.basicCancel(tag);
        return taken;
    }

    static Delivery next(BlockingQueue<Delivery> deliveries) throws InterruptedException {
        Delivery delivery = deliveries.poll(PATIENCE_MS, TimeUnit.MILLISECONDS);
        same(delivery != null, true, "whether a message comes");
        return delivery;
    }

    void waitForReady(String queue, int count) throws Exception {
        Channel channel = connection.createChannel();
        long deadline = System.currentTimeMillis() + PATIENCE_MS;
        while (channel.messageCount(queue) != count) {
            same(System.currentTimeMillis() < deadline, true, "whether " + count + " messages become ready in " + queue);
            Thread.sleep(10);
        }
        channel.close();
    }

    static byte[] body(int size) {
        byte[] body = new byte[size];
        for (int i = 0; i < size; i++) {
            body[i] = (byte) (i * 31 + size);
        }
        return body;
    }

    static byte[] text(int n) {
        return Integer.toString(n).getBytes(StandardCharsets.US_ASCII);
    }

    static int number(byte[] body) {
        return Integer.parseInt(new String(body, StandardCharsets.US_ASCII));
    }

    static List<Integer> numbers(int begin, int end) {
        return IntStream.range(begin, end).boxed().toList();
    }

    static void same(Object found, Object expected, String what) {
        if (!Objects.equals(found, expected)) {
            throw new AssertionError(what + ": " + found + " instead of " + expected);
        }
    }
}
