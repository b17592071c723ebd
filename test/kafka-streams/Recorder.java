import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.function.BiFunction;
import java.util.regex.Pattern;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TestInputTopic;
import org.apache.kafka.streams.TestOutputTopic;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.TimestampExtractor;
import org.apache.kafka.streams.processor.TopicNameExtractor;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.Cancellable;
import org.apache.kafka.streams.processor.api.*;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.ValueAndTimestamp;
import org.apache.kafka.streams.test.TestRecord;

/**
 * Runs scenarios with the real Kafka Streams: reads one per line from standard input, as JSON, and answers each with a
 * line: what came out after each action, or why the topology was refused. The format of the scenarios is that of the
 * recordings in test/golden; the operators are those that scenarios.ts makes and most of those of the recordings.
 */
public final class Recorder {
    static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        boolean inMemory = Arrays.asList(args).contains("in-memory");
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            ObjectNode answer;
            try {
                answer = new Recorder(JSON.readTree(line), inMemory).record();
            } catch (Throwable e) {
                answer = JSON.createObjectNode();
                answer.put("refused", e.getClass().getSimpleName() + ": " + e.getMessage());
            }
            out.println(JSON.writeValueAsString(answer));
        }
    }

    /** A stream, table or grouping, with the types of its keys and values. */
    record Handle(String kind, Object it, Serde key, String value) {
        Handle with(String kind, Object it) {
            return new Handle(kind, it, key, value);
        }
    }

    final JsonNode scenario;
    final boolean inMemory;
    final StreamsBuilder builder = new StreamsBuilder();
    final Map<String, Handle> handles = new HashMap<>();

    Recorder(JsonNode scenario, boolean inMemory) {
        this.scenario = scenario;
        this.inMemory = inMemory;
    }

    ObjectNode record() throws Exception {
        for (JsonNode op : scenario.get("topology")) add(op);
        Path state = Files.createTempDirectory("recorder");
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, "golden");
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "none:1");
        config.put(StreamsConfig.STATE_DIR_CONFIG, state.toString());
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        config.put("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__", 0L);
        config.put("__emit.interval.ms.kstreams.windowed.aggregation__", 0L);
        if (inMemory) config.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG,
                "org.apache.kafka.streams.state.BuiltInDslStoreSuppliers$InMemoryDslStoreSuppliers");
        ObjectNode answer = JSON.createObjectNode();
        long start = scenario.path("wallClockStart").asLong(0);
        try (TopologyTestDriver driver = new TopologyTestDriver(builder.build(), config, Instant.ofEpochMilli(start))) {
            run(driver, answer);
        } finally {
            delete(state);
        }
        return answer;
    }

    void run(TopologyTestDriver driver, ObjectNode answer) {
        Map<String, TestInputTopic> inputs = new HashMap<>();
        Map<String, TestOutputTopic> outputs = new LinkedHashMap<>();
        scenario.get("topics").fields().forEachRemaining(e -> {
            JsonNode topic = e.getValue();
            Serde key = keySerde(topic), value = valueSerde(topic.get("value").asText());
            if (topic.get("role").asText().equals("input"))
                inputs.put(e.getKey(), driver.createInputTopic(e.getKey(), key.serializer(), value.serializer()));
            else outputs.put(e.getKey(), driver.createOutputTopic(e.getKey(), key.deserializer(), value.deserializer()));
        });
        ArrayNode steps = answer.putArray("steps");
        double droppedBefore = 0;
        for (JsonNode step : scenario.get("steps")) {
            if (step.has("expect") || step.has("expectError")) continue;
            ObjectNode result = steps.addObject();
            try {
                if (step.has("pipe")) pipe(inputs, step.get("pipe"));
                else if (step.has("advanceWallClock")) driver.advanceWallClockTime(Duration.ofMillis(step.get("advanceWallClock").asLong()));
            } catch (RuntimeException e) {
                result.put("error", e.toString());
                return;
            }
            ArrayNode expect = result.putArray("expect");
            outputs.forEach((name, topic) -> {
                for (Object record : topic.readRecordsToList()) expect.add(shown(name, (TestRecord) record));
            });
            double dropped = 0;
            for (var metric : driver.metrics().values())
                if (metric.metricName().name().equals("dropped-records-total")) dropped += (Double) metric.metricValue();
            if (dropped > droppedBefore) result.put("dropped", (long) (dropped - droppedBefore));
            droppedBefore = dropped;
        }
        answer.put("droppedRecords", (long) droppedBefore);
        if (scenario.has("stores")) {
            ObjectNode stores = answer.putObject("stores");
            scenario.get("stores").fields().forEachRemaining(e -> rows(driver, e.getKey(), e.getValue(), stores.putObject(e.getKey())));
        }
    }

    /** The rows of a store. Those that have expired are left out, which an engine may delete at any time. */
    static void rows(TopologyTestDriver driver, String name, JsonNode store, ObjectNode answer) {
        String kind = store.get("kind").asText();
        answer.put("kind", kind);
        List<ObjectNode> rows = new ArrayList<>();
        switch (kind) {
            case "keyValue" -> driver.getTimestampedKeyValueStore(name).all().forEachRemaining(row -> rows.add(row(row.key, row.value)));
            case "plain" -> driver.getKeyValueStore(name).all().forEachRemaining(row -> rows.add(row(row.key, row.value)));
            case "window" -> driver.getTimestampedWindowStore(name).all().forEachRemaining(row -> rows.add(row(row.key, row.value)));
            case "session" -> driver.getSessionStore(name).fetch(null, null).forEachRemaining(row -> rows.add(row(row.key, row.value)));
            default -> throw new UnsupportedOperationException(kind);
        }
        String time = kind.equals("session") ? "end" : "start";
        long newest = rows.stream().filter(row -> row.has("window")).mapToLong(row -> row.get("window").get(time).asLong()).max().orElse(0);
        if (store.has("retentionMs"))
            rows.removeIf(row -> row.get("window").get(time).asLong() <= newest - store.get("retentionMs").asLong());
        ArrayNode entries = answer.putArray("entries");
        rows.forEach(entries::add);
    }

    static ObjectNode row(Object key, Object value) {
        ObjectNode row = JSON.createObjectNode();
        if (key instanceof Windowed<?> windowed) {
            row.put("key", (String) windowed.key());
            row.putObject("window").put("start", windowed.window().start()).put("end", windowed.window().end());
        } else row.put("key", (String) key);
        Object content = value instanceof ValueAndTimestamp<?> stamped ? stamped.value() : value;
        if (content instanceof Long number) row.put("value", number);
        else row.put("value", (String) content);
        if (value instanceof ValueAndTimestamp<?> stamped) row.put("timestamp", stamped.timestamp());
        return row;
    }

    static void pipe(Map<String, TestInputTopic> inputs, JsonNode pipe) {
        JsonNode value = pipe.get("value"), key = pipe.get("key");
        RecordHeaders headers = new RecordHeaders();
        if (pipe.has("headers"))
            for (JsonNode header : pipe.get("headers"))
                headers.add(header.get(0).asText(), header.get(1).isNull() ? null : header.get(1).asText().getBytes(StandardCharsets.UTF_8));
        Object content = value == null || value.isNull() ? null : value.isNumber() ? (Object) value.asLong() : value.asText();
        inputs.get(pipe.get("topic").asText()).pipeInput(
                new TestRecord(key.isNull() ? null : key.asText(), content, headers, pipe.get("timestamp").asLong()));
    }

    static ObjectNode shown(String topic, TestRecord record) {
        ObjectNode node = JSON.createObjectNode();
        node.put("topic", topic);
        if (record.key() instanceof Windowed<?> key) {
            node.put("key", (String) key.key());
            node.putObject("window").put("start", key.window().start()).put("end", key.window().end());
        } else node.put("key", (String) record.key());
        if (record.value() instanceof Long number) node.put("value", number);
        else node.put("value", (String) record.value());
        node.put("timestamp", record.timestamp());
        if (record.headers().toArray().length > 0) {
            ArrayNode headers = node.putArray("headers");
            for (Header header : record.headers())
                headers.addArray().add(header.key()).add(header.value() == null ? null : new String(header.value(), StandardCharsets.UTF_8));
        }
        return node;
    }

    static void delete(Path directory) throws Exception {
        try (var paths = Files.walk(directory)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) Files.deleteIfExists(path);
        }
    }

    // ---- the topology

    void add(JsonNode op) {
        Handle made = make(op);
        if (op.has("as") && made != null) handles.put(op.get("as").asText(), made);
    }

    Handle make(JsonNode op) {
        switch (op.get("op").asText()) {
            case "stream": {
                List<String> topics = new ArrayList<>();
                if (op.has("topics")) op.get("topics").forEach(t -> topics.add(t.asText()));
                else topics.add(op.get("topic").asText());
                String type = valueOf(topics.get(0));
                Consumed consumed = Consumed.with(Serdes.String(), valueSerde(type));
                if (op.has("timestampExtractor")) consumed = consumed.withTimestampExtractor(extractor(op.get("timestampExtractor").asText()));
                return new Handle("stream", builder.stream(topics, consumed), Serdes.String(), type);
            }
            case "stateStore": {
                String store = op.get("name").asText();
                var supplier = inMemory ? Stores.inMemoryKeyValueStore(store) : Stores.persistentKeyValueStore(store);
                builder.addStateStore(Stores.keyValueStoreBuilder(supplier, Serdes.String(), valueSerde(op.path("value").asText("string"))));
                return null;
            }
            case "table": {
                String topic = op.get("topic").asText(), type = valueOf(topic);
                Consumed consumed = Consumed.with(Serdes.String(), valueSerde(type));
                Object it = op.has("store") ? builder.table(topic, consumed, Materialized.as(op.get("store").asText())) : builder.table(topic, consumed);
                return new Handle("table", it, Serdes.String(), type);
            }
            case "globalTable": {
                String topic = op.get("topic").asText(), type = valueOf(topic);
                Consumed consumed = Consumed.with(Serdes.String(), valueSerde(type));
                Object it = op.has("store") ? builder.globalTable(topic, consumed, Materialized.as(op.get("store").asText())) : builder.globalTable(topic, consumed);
                return new Handle("globalTable", it, Serdes.String(), type);
            }
            case "to": {
                Handle of = of(op, "of");
                Produced produced = Produced.with(of.key, valueSerde(of.value));
                if (op.has("topicFn")) {
                    BiFunction choose = keyFunction(op.get("topicFn").asText());
                    ((KStream) of.it).to((TopicNameExtractor) (k, v, context) -> text(choose.apply(k, v)), produced);
                } else ((KStream) of.it).to(op.get("topic").asText(), produced);
                return null;
            }
            case "process":
            case "processValues": {
                Handle of = of(op, "of");
                JsonNode spec = op.get("processor");
                List<String> stores = new ArrayList<>();
                if (op.has("stores")) op.get("stores").forEach(store -> stores.add(store.asText()));
                else if (spec.has("store")) stores.add(spec.get("store").asText());
                String[] names = stores.toArray(new String[0]);
                KStream stream = (KStream) of.it;
                Object it = op.get("op").asText().equals("process") ? stream.process((ProcessorSupplier) () -> new Processors.Any(spec), names)
                        : stream.processValues((FixedKeyProcessorSupplier) () -> new Processors.OfValues(spec), names);
                return new Handle("stream", it, of.key, Processors.valueType(spec.get("kind").asText(), of.value));
            }
            case "merge":
                return of(op, "of").with("stream", ((KStream) of(op, "of").it).merge((KStream) of(op, "with").it));
            case "toTable": {
                Handle of = of(op, "of");
                return of.with("table", ((KStream) of.it).toTable(materialized(op, of.key, of.value)));
            }
            case "toStream": {
                Handle of = of(op, "of");
                if (!op.has("fn")) return of.with("stream", ((KTable) of.it).toStream());
                BiFunction fn = keyFunction(op.get("fn").asText());
                return new Handle("stream", ((KTable) of.it).toStream((k, v) -> fn.apply(k, v)), keyOf(op, "fn", of), of.value);
            }
            case "groupByKey":
            case "groupBy":
                return group(op);
            case "windowedBy":
                return windowed(op);
            case "count":
            case "reduce":
            case "aggregate":
                return aggregated(op);
            case "streamStreamJoin":
                return streamJoin(op);
            case "streamTableJoin": {
                Handle left = of(op, "left"), right = of(op, "right");
                ValueJoiner joiner = joiner(op);
                Joined joined = Joined.with(left.key, valueSerde(left.value), valueSerde(right.value));
                if (op.has("name")) joined = joined.withName(op.get("name").asText());
                KStream it = op.get("type").asText().equals("left") ? ((KStream) left.it).leftJoin((KTable) right.it, joiner, joined)
                        : ((KStream) left.it).join((KTable) right.it, joiner, joined);
                return new Handle("stream", it, left.key, combinedType(op.get("joiner").asText()));
            }
            case "streamGlobalTableJoin": {
                Handle left = of(op, "left"), right = of(op, "right");
                BiFunction fn = keyFunction(op.get("key").asText());
                KeyValueMapper key = (k, v) -> fn.apply(k, v);
                ValueJoiner joiner = joiner(op);
                KStream it = op.get("type").asText().equals("left") ? ((KStream) left.it).leftJoin((GlobalKTable) right.it, key, joiner)
                        : ((KStream) left.it).join((GlobalKTable) right.it, key, joiner);
                return new Handle("stream", it, left.key, combinedType(op.get("joiner").asText()));
            }
            case "tableTableJoin": {
                Handle left = of(op, "left"), right = of(op, "right");
                ValueJoiner joiner = joiner(op);
                String type = combinedType(op.get("joiner").asText());
                KTable l = (KTable) left.it, r = (KTable) right.it;
                Materialized m = op.has("store") ? materialized(op, left.key, type) : null;
                KTable it = switch (op.get("type").asText()) {
                    case "left" -> m == null ? l.leftJoin(r, joiner) : l.leftJoin(r, joiner, m);
                    case "outer" -> m == null ? l.outerJoin(r, joiner) : l.outerJoin(r, joiner, m);
                    default -> m == null ? l.join(r, joiner) : l.join(r, joiner, m);
                };
                return new Handle("table", it, left.key, type);
            }
            default:
                return operator(op);
        }
    }

    static TimestampExtractor extractor(String name) {
        String[] fn = split(name);
        return (record, partitionTime) -> {
            String value = text(record.value());
            int at = value.indexOf(fn[1]);
            if (at >= 0) return Long.parseLong(value.substring(at + fn[1].length()));
            return fn[0].equals("partitionTimeOr") ? partitionTime : -1;
        };
    }

    Handle operator(JsonNode op) {
        Handle of = of(op, "of");
        String name = op.get("op").asText();
        if (of.kind.equals("table")) {
            KTable table = (KTable) of.it;
            if (name.equals("mapValues")) {
                BiFunction fn = valueFunction(op.get("fn").asText());
                ValueMapperWithKey mapper = (k, v) -> fn.apply(k, v);
                String type = valueType(op.get("fn").asText(), of.value);
                return new Handle("table", op.has("store") ? table.mapValues(mapper, materialized(op, of.key, type)) : table.mapValues(mapper), of.key, type);
            }
            BiFunction<Object, Object, Boolean> test = predicate(op.get("predicate").asText());
            Predicate predicate = (k, v) -> test.apply(k, v);
            Materialized m = op.has("store") ? materialized(op, of.key, of.value) : null;
            return of.with("table", name.equals("filter") ? (m == null ? table.filter(predicate) : table.filter(predicate, m))
                    : (m == null ? table.filterNot(predicate) : table.filterNot(predicate, m)));
        }
        KStream stream = (KStream) of.it;
        switch (name) {
            case "filter":
            case "filterNot": {
                BiFunction<Object, Object, Boolean> test = predicate(op.get("predicate").asText());
                Predicate predicate = (k, v) -> test.apply(k, v);
                return of.with("stream", name.equals("filter") ? stream.filter(predicate) : stream.filterNot(predicate));
            }
            case "peek":
                return of.with("stream", stream.peek((k, v) -> {}));
            case "mapValues": {
                BiFunction fn = valueFunction(op.get("fn").asText());
                ValueMapperWithKey mapper = (k, v) -> fn.apply(k, v);
                return new Handle("stream", stream.mapValues(mapper), of.key, valueType(op.get("fn").asText(), of.value));
            }
            case "flatMapValues": {
                String[] fn = split(op.get("fn").asText());
                ValueMapper mapper = v -> values(fn, v);
                return of.with("stream", stream.flatMapValues(mapper));
            }
            case "selectKey": {
                BiFunction fn = keyFunction(op.get("fn").asText());
                KeyValueMapper mapper = (k, v) -> fn.apply(k, v);
                return new Handle("stream", stream.selectKey(mapper), keyOf(op, "fn", of), of.value);
            }
            case "map": {
                BiFunction key = keyFunction(op.get("key").asText()), value = valueFunction(op.get("value").asText());
                KeyValueMapper mapper = (k, v) -> KeyValue.pair(key.apply(k, v), value.apply(k, v));
                return new Handle("stream", stream.map(mapper), keyOf(op, "key", of), valueType(op.get("value").asText(), of.value));
            }
            case "flatMap": {
                KeyValueMapper mapper = (k, v) -> pairs(v);
                return new Handle("stream", stream.flatMap(mapper), Serdes.String(), "string");
            }
            case "repartition": {
                Repartitioned repartitioned = Repartitioned.with(of.key, valueSerde(of.value));
                if (op.has("name")) repartitioned = repartitioned.withName(op.get("name").asText());
                return of.with("stream", stream.repartition(repartitioned));
            }
            case "split": {
                BranchedKStream split = stream.split(Named.as("split-" + handles.size() + "-"));
                for (JsonNode branch : op.get("branches")) {
                    BiFunction<Object, Object, Boolean> test = predicate(branch.get("predicate").asText());
                    Predicate predicate = (k, v) -> test.apply(k, v);
                    split = split.branch(predicate, Branched.withConsumer(s -> handles.put(branch.get("as").asText(), of.with("stream", s))));
                }
                if (op.has("default")) split.defaultBranch(Branched.withConsumer(s -> handles.put(op.get("default").asText(), of.with("stream", s))));
                else split.noDefaultBranch();
                return null;
            }
            default:
                throw new UnsupportedOperationException(name);
        }
    }

    Handle group(JsonNode op) {
        Handle of = of(op, "of");
        if (of.kind.equals("table")) {
            BiFunction key = keyFunction(op.get("key").asText());
            Serde serde = keyOf(op, "key", of);
            KeyValueMapper mapper = (k, v) -> KeyValue.pair(key.apply(k, v), v);
            return new Handle("groupedTable", ((KTable) of.it).groupBy(mapper, grouped(op, serde, of.value)), serde, of.value);
        }
        if (op.get("op").asText().equals("groupByKey"))
            return of.with("grouped", ((KStream) of.it).groupByKey(grouped(op, of.key, of.value)));
        BiFunction fn = keyFunction(op.get("fn").asText());
        Serde serde = keyOf(op, "fn", of);
        KeyValueMapper mapper = (k, v) -> fn.apply(k, v);
        return new Handle("grouped", ((KStream) of.it).groupBy(mapper, grouped(op, serde, of.value)), serde, of.value);
    }

    static Grouped grouped(JsonNode op, Serde key, String value) {
        Grouped grouped = Grouped.with(key, valueSerde(value));
        return op.has("name") ? grouped.withName(op.get("name").asText()) : grouped;
    }

    Handle windowed(JsonNode op) {
        Handle of = of(op, "of");
        KGroupedStream grouped = (KGroupedStream) of.it;
        JsonNode w = op.get("window");
        Duration grace = Duration.ofMillis(w.get("graceMs").asLong());
        boolean atClose = op.path("emit").asText().equals("onWindowClose");
        String type = w.get("type").asText();
        Object it = switch (type) {
            case "tumbling" -> grouped.windowedBy(TimeWindows.ofSizeAndGrace(ms(w, "sizeMs"), grace));
            case "hopping" -> grouped.windowedBy(TimeWindows.ofSizeAndGrace(ms(w, "sizeMs"), grace).advanceBy(ms(w, "advanceMs")));
            case "sliding" -> grouped.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(ms(w, "differenceMs"), grace));
            case "session" -> grouped.windowedBy(SessionWindows.ofInactivityGapAndGrace(ms(w, "gapMs"), grace));
            default -> throw new UnsupportedOperationException(type);
        };
        if (atClose)
            it = it instanceof TimeWindowedKStream time ? time.emitStrategy(EmitStrategy.onWindowClose())
                    : ((SessionWindowedKStream) it).emitStrategy(EmitStrategy.onWindowClose());
        Serde key = type.equals("session") ? WindowedSerdes.sessionWindowedSerdeFrom(String.class)
                : WindowedSerdes.timeWindowedSerdeFrom(String.class, type.equals("sliding") ? w.get("differenceMs").asLong() : w.get("sizeMs").asLong());
        return new Handle("windowed", it, key, of.value);
    }

    static Duration ms(JsonNode node, String field) {
        return Duration.ofMillis(node.get(field).asLong());
    }

    Handle aggregated(JsonNode op) {
        Handle of = of(op, "of");
        String name = op.get("op").asText();
        String type = switch (name) {
            case "count" -> "long";
            case "reduce" -> of.value;
            default -> op.get("initial").isNumber() ? "long" : "string";
        };
        Serde inner = of.kind.equals("windowed") ? Serdes.String() : of.key;
        Materialized store = materialized(op, inner, type);
        if (op.has("retentionMs")) store = store.withRetention(Duration.ofMillis(op.get("retentionMs").asLong()));
        Combiner add = op.has("add") ? combiner(op.get("add").asText()) : null;
        Combiner subtract = combiner(op.has("subtract") ? op.get("subtract").asText() : "first");
        Combiner merge = op.has("merge") ? combiner(op.get("merge").asText()) : add;
        Initializer initial = () -> op.get("initial").isNull() ? null : op.get("initial").isNumber() ? (Object) op.get("initial").asLong() : op.get("initial").asText();
        Reducer reducer = (a, b) -> add.apply(a, b, null);
        Aggregator adder = (k, v, so) -> add.apply(so, v, k);
        Aggregator subtractor = (k, v, so) -> subtract.apply(so, v, k);
        Object it;
        if (of.it instanceof KGroupedTable table) {
            it = switch (name) {
                case "count" -> table.count(store);
                case "reduce" -> table.reduce(reducer, (a, b) -> subtract.apply(a, b, null), store);
                default -> table.aggregate(initial, adder, subtractor, store);
            };
        } else if (of.it instanceof KGroupedStream stream) {
            it = switch (name) {
                case "count" -> stream.count(store);
                case "reduce" -> stream.reduce(reducer, store);
                default -> stream.aggregate(initial, adder, store);
            };
        } else if (of.it instanceof TimeWindowedKStream stream) {
            it = switch (name) {
                case "count" -> stream.count(store);
                case "reduce" -> stream.reduce(reducer, store);
                default -> stream.aggregate(initial, adder, store);
            };
        } else {
            SessionWindowedKStream stream = (SessionWindowedKStream) of.it;
            it = switch (name) {
                case "count" -> stream.count(store);
                case "reduce" -> stream.reduce(reducer, store);
                default -> stream.aggregate(initial, adder, (k, a, b) -> merge.apply(a, b, k), store);
            };
        }
        return new Handle("table", it, of.key, type);
    }

    Handle streamJoin(JsonNode op) {
        Handle left = of(op, "left"), right = of(op, "right");
        JsonNode w = op.get("window");
        long before = w.get("beforeMs").asLong(), after = w.get("afterMs").asLong();
        JoinWindows windows = JoinWindows.ofTimeDifferenceAndGrace(Duration.ofMillis(Math.max(Math.abs(before), Math.abs(after))), ms(w, "graceMs"))
                .before(Duration.ofMillis(before)).after(Duration.ofMillis(after));
        StreamJoined joined = StreamJoined.with(left.key, valueSerde(left.value), valueSerde(right.value));
        if (op.has("name")) joined = joined.withName(op.get("name").asText());
        if (op.has("store")) joined = joined.withStoreName(op.get("store").asText());
        ValueJoiner joiner = joiner(op);
        KStream l = (KStream) left.it, r = (KStream) right.it;
        KStream it = switch (op.get("type").asText()) {
            case "left" -> l.leftJoin(r, joiner, windows, joined);
            case "outer" -> l.outerJoin(r, joiner, windows, joined);
            default -> l.join(r, joiner, windows, joined);
        };
        return new Handle("stream", it, left.key, combinedType(op.get("joiner").asText()));
    }

    Handle of(JsonNode op, String field) {
        Handle handle = handles.get(op.get(field).asText());
        if (handle == null) throw new IllegalArgumentException("no " + op.get(field));
        return handle;
    }

    static Materialized materialized(JsonNode op, Serde key, String value) {
        Materialized m = op.has("store") ? Materialized.as(op.get("store").asText()) : Materialized.with(key, valueSerde(value));
        m = m.withKeySerde(key).withValueSerde(valueSerde(value));
        return op.path("logging").asBoolean(true) ? m : m.withLoggingDisabled();
    }

    String valueOf(String topic) {
        return scenario.get("topics").get(topic).get("value").asText();
    }

    static Serde valueSerde(String type) {
        return type.equals("long") ? Serdes.Long() : Serdes.String();
    }

    static Serde keySerde(JsonNode topic) {
        return switch (topic.get("key").asText()) {
            case "timeWindowed" -> WindowedSerdes.timeWindowedSerdeFrom(String.class, topic.get("windowSizeMs").asLong());
            case "sessionWindowed" -> WindowedSerdes.sessionWindowedSerdeFrom(String.class);
            default -> Serdes.String();
        };
    }

    static Serde keyOf(JsonNode op, String field, Handle of) {
        return op.get(field).asText().equals("same") ? of.key : Serdes.String();
    }

    static String valueType(String fn, String of) {
        return switch (split(fn)[0]) {
            case "length", "parseLong", "plus" -> "long";
            case "identity", "toNull", "nullIf" -> of;
            default -> "string";
        };
    }

    static String combinedType(String joiner) {
        return switch (split(joiner)[0]) {
            case "sum", "minus", "max", "min", "countUp", "countDown" -> "long";
            default -> "string";
        };
    }

    // ---- the functions

    /** Of two values and the key. */
    interface Combiner {
        Object apply(Object a, Object b, Object key);
    }

    static String[] split(String name) {
        int colon = name.indexOf(':');
        return colon < 0 ? new String[] {name, ""} : new String[] {name.substring(0, colon), name.substring(colon + 1)};
    }

    static String text(Object x) {
        if (x instanceof Windowed<?> w) return w.key() + "@" + w.window().start() + "/" + w.window().end();
        return String.valueOf(x);
    }

    static long number(Object x) {
        return x == null ? 0 : x instanceof Long l ? l : Long.parseLong((String) x);
    }

    static BiFunction<Object, Object, Boolean> predicate(String name) {
        String[] fn = split(name);
        return switch (fn[0]) {
            case "always" -> (k, v) -> true;
            case "never" -> (k, v) -> false;
            case "keyNotNull" -> (k, v) -> k != null;
            case "valueNotNull" -> (k, v) -> v != null;
            case "keyStartsWith" -> (k, v) -> k != null && text(k).startsWith(fn[1]);
            case "valueStartsWith" -> (k, v) -> v != null && text(v).startsWith(fn[1]);
            case "valueContains" -> (k, v) -> v != null && text(v).contains(fn[1]);
            case "valueAtLeast" -> (k, v) -> v != null && number(v) >= Long.parseLong(fn[1]);
            case "valueMultipleOf" -> (k, v) -> v != null && number(v) % Long.parseLong(fn[1]) == 0;
            default -> throw new UnsupportedOperationException(name);
        };
    }

    static BiFunction<Object, Object, Object> valueFunction(String name) {
        String[] fn = split(name);
        return switch (fn[0]) {
            case "identity" -> (k, v) -> v;
            case "toNull" -> (k, v) -> null;
            case "constant" -> (k, v) -> fn[1];
            case "withKey" -> (k, v) -> text(k) + fn[1] + text(v);
            case "upper" -> (k, v) -> v == null ? null : text(v).toUpperCase();
            case "append" -> (k, v) -> v == null ? null : text(v) + fn[1];
            case "nullIf" -> (k, v) -> v == null || text(v).equals(fn[1]) ? null : v;
            case "length" -> (k, v) -> v == null ? null : (Object) (long) text(v).length();
            case "parseLong" -> (k, v) -> v == null ? null : (Object) number(v);
            case "toText" -> (k, v) -> v == null ? null : text(v);
            case "plus" -> (k, v) -> v == null ? null : (Object) (number(v) + Long.parseLong(fn[1]));
            case "before" -> (k, v) -> v == null ? null : part(text(v), fn[1], true);
            case "after" -> (k, v) -> v == null ? null : part(text(v), fn[1], false);
            default -> throw new UnsupportedOperationException(name);
        };
    }

    static String part(String text, String separator, boolean before) {
        int at = text.indexOf(separator);
        if (at < 0) return null;
        String found = before ? text.substring(0, at) : text.substring(at + separator.length());
        return found.isEmpty() ? null : found;
    }

    static BiFunction<Object, Object, Object> keyFunction(String name) {
        String[] fn = split(name);
        return switch (fn[0]) {
            case "same" -> (k, v) -> k;
            case "null" -> (k, v) -> null;
            case "constant" -> (k, v) -> fn[1];
            case "upperKey" -> (k, v) -> k == null ? null : text(k).toUpperCase();
            case "keyFirstLetter" -> (k, v) -> k == null ? null : text(k).substring(0, Math.min(1, text(k).length()));
            case "fromValue" -> (k, v) -> v == null ? null : text(v);
            case "valueFirstLetter" -> (k, v) -> v == null || text(v).isEmpty() ? null : text(v).substring(0, 1);
            case "valueBefore" -> (k, v) -> v == null ? null : part(text(v), fn[1], true);
            case "valueAfter" -> (k, v) -> v == null ? null : part(text(v), fn[1], false);
            case "innerKey" -> (k, v) -> k instanceof Windowed<?> w ? w.key() : k;
            case "windowText" -> (k, v) -> text(k);
            default -> throw new UnsupportedOperationException(name);
        };
    }

    static List<Object> values(String[] fn, Object v) {
        List<Object> values = new ArrayList<>();
        switch (fn[0]) {
            case "splitOn" -> {
                if (v != null && !text(v).isEmpty()) values.addAll(Arrays.asList(text(v).split(Pattern.quote(fn[1]), -1)));
            }
            case "repeat" -> {
                for (int n = 0; n < Integer.parseInt(fn[1]); n++) values.add(v);
            }
            case "none" -> {}
            default -> throw new UnsupportedOperationException(fn[0]);
        }
        return values;
    }

    static List<KeyValue<String, String>> pairs(Object v) {
        List<KeyValue<String, String>> pairs = new ArrayList<>();
        if (v == null || text(v).isEmpty()) return pairs;
        for (String part : text(v).split(",", -1)) {
            int at = part.indexOf('=');
            pairs.add(at < 0 ? KeyValue.pair(part, null) : KeyValue.pair(part.substring(0, at), part.substring(at + 1)));
        }
        return pairs;
    }

    ValueJoiner joiner(JsonNode op) {
        Combiner fn = combiner(op.get("joiner").asText());
        return (a, b) -> fn.apply(a, b, null);
    }

    static Combiner combiner(String name) {
        String[] fn = split(name);
        return switch (fn[0]) {
            case "concat" -> (a, b, k) -> text(a) + fn[1] + text(b);
            case "concatWithKey" -> (a, b, k) -> text(k) + fn[1] + text(a) + fn[1] + text(b);
            case "sum" -> (a, b, k) -> number(a) + number(b);
            case "minus" -> (a, b, k) -> number(a) - number(b);
            case "max" -> (a, b, k) -> Math.max(number(a), number(b));
            case "min" -> (a, b, k) -> Math.min(number(a), number(b));
            case "countUp" -> (a, b, k) -> number(a) + 1;
            case "countDown" -> (a, b, k) -> number(a) - 1;
            case "first" -> (a, b, k) -> a;
            case "last" -> (a, b, k) -> b;
            case "null" -> (a, b, k) -> null;
            case "remove" -> (a, b, k) -> text(a).replaceFirst(Pattern.quote(text(b)), "");
            case "nullOn" -> (a, b, k) -> text(b).equals(fn[1]) ? null : text(a) + "+" + text(b);
            default -> throw new UnsupportedOperationException(name);
        };
    }
}

/** The processors that scenarios name. */
final class Processors {
    static String valueType(String kind, String of) {
        return switch (kind) {
            case "countInStore" -> "long";
            case "streamTime", "wallClock", "recordInfo", "fanOut", "lookup" -> "string";
            default -> of;
        };
    }

    static KeyValueStore storeOf(JsonNode spec, ProcessingContext context) {
        return (KeyValueStore) context.getStateStore(spec.get("store").asText());
    }

    /** What a processor does with a record; the record is forwarded by `context`, whichever kind of processor it is. */
    interface Forward {
        void accept(Object key, Object value, long timestamp, org.apache.kafka.common.header.Headers headers);
    }

    static void process(JsonNode spec, ProcessingContext context, Record record, Forward forward) {
        Object key = record.key(), value = record.value();
        long time = record.timestamp();
        var headers = record.headers();
        switch (spec.get("kind").asText()) {
            case "streamTime" -> forward.accept(key, String.valueOf(context.currentStreamTimeMs()), time, headers);
            case "wallClock" -> forward.accept(key, String.valueOf(context.currentSystemTimeMs()), time, headers);
            case "recordInfo" -> {
                var from = (RecordMetadata) context.recordMetadata().get();
                forward.accept(key, from.topic() + "-" + from.partition() + "@" + from.offset(), time, headers);
            }
            case "fanOut" -> {
                for (int n = 1; n <= spec.get("times").asInt(); n++) forward.accept(key, Recorder.text(value) + "#" + n, time, headers);
            }
            case "shiftTimestamp" -> forward.accept(key, value, time + spec.get("byMs").asLong(), headers);
            case "addHeader" -> {
                var more = new RecordHeaders(headers);
                more.add(spec.get("name").asText(), spec.get("value").asText().getBytes(StandardCharsets.UTF_8));
                forward.accept(key, value, time, more);
            }
            case "clearHeaders" -> forward.accept(key, value, time, new RecordHeaders());
            case "throwOn" -> {
                if (spec.get("value").asText().equals(value)) throw new IllegalStateException("golden failure");
                forward.accept(key, value, time, headers);
            }
            case "countInStore" -> {
                KeyValueStore store = storeOf(spec, context);
                long count = Recorder.number(store.get(key)) + 1;
                store.put(key, count);
                forward.accept(key, count, time, headers);
            }
            case "firstPerKey" -> {
                KeyValueStore store = storeOf(spec, context);
                if (value != null && store.putIfAbsent(key, value) == null) forward.accept(key, value, time, headers);
            }
            case "lookup" -> {
                KeyValueStore store = storeOf(spec, context);
                forward.accept(key, Recorder.text(value) + "+" + Recorder.text(store.get(key)), time, headers);
            }
            case "punctuate" -> {
                if (spec.path("passThrough").asBoolean(true)) forward.accept(key, value, time, headers);
            }
            case "lastValueFlush" -> storeOf(spec, context).put(key, value);
            default -> throw new UnsupportedOperationException(spec.get("kind").asText());
        }
    }

    static final class Any implements Processor {
        final JsonNode spec;
        ProcessorContext context;
        int fired;

        Any(JsonNode spec) {
            this.spec = spec;
        }

        @Override
        public void init(ProcessorContext context) {
            this.context = context;
            if (!spec.has("clock")) return;
            Duration interval = Duration.ofMillis(spec.get("intervalMs").asLong());
            PunctuationType type = spec.get("clock").asText().equals("wallClock") ? PunctuationType.WALL_CLOCK_TIME : PunctuationType.STREAM_TIME;
            Cancellable[] schedule = new Cancellable[1];
            schedule[0] = spec.has("startMs") ? context.schedule(Instant.ofEpochMilli(spec.get("startMs").asLong()), interval, type, time -> fire(time, schedule))
                    : context.schedule(interval, type, time -> fire(time, schedule));
        }

        void fire(long time, Cancellable[] schedule) {
            if (spec.get("kind").asText().equals("punctuate")) {
                fired += 1;
                if (fired == spec.path("cancelAfter").asInt(-1)) schedule[0].cancel();
                context.forward(new Record(spec.path("key").asText("tick"), String.valueOf(time), time));
                return;
            }
            KeyValueStore store = storeOf(spec, context);
            List<KeyValue> rows = new ArrayList<>();
            try (var all = store.all()) {
                all.forEachRemaining(row -> rows.add((KeyValue) row));
            }
            for (KeyValue row : rows) {
                context.forward(new Record(row.key, row.value, time));
                store.delete(row.key);
            }
        }

        @Override
        public void process(Record record) {
            Processors.process(spec, context, record, (k, v, t, h) -> context.forward(new Record(k, v, t, h)));
        }
    }

    static final class OfValues implements FixedKeyProcessor {
        final JsonNode spec;
        FixedKeyProcessorContext context;

        OfValues(JsonNode spec) {
            this.spec = spec;
        }

        @Override
        public void init(FixedKeyProcessorContext context) {
            this.context = context;
        }

        @Override
        public void process(FixedKeyRecord record) {
            Record plain = new Record(record.key(), record.value(), record.timestamp(), record.headers());
            Processors.process(spec, context, plain, (k, v, t, h) -> context.forward(record.withValue(v).withTimestamp(t).withHeaders(h)));
        }
    }
}
