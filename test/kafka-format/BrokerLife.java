import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.*;

/**
 * Gives a broker something to write: every codec, headers, nulls, transactions that commit, abort and stay open, a compacted
 * topic that the cleaner has been over, offsets of a group. Then prints what its consumers see, a JSON line per record.
 */
public class BrokerLife {
  static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
  static final long START = 1_700_000_000_000L;
  static String bootstrap;

  public static void main(String[] args) throws Exception {
    bootstrap = args[0];
    boolean transactions = Boolean.parseBoolean(args[1]);
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      Map<String, String> compacted = Map.of("cleanup.policy", "compact", "segment.ms", "400", "delete.retention.ms", "100",
          "min.cleanable.dirty.ratio", "0.01");
      admin.createTopics(List.of(
          new NewTopic("plain", 2, (short) 1).configs(Map.of("segment.ms", "5000", "retention.ms", "-1")),
          new NewTopic("accounts", 2, (short) 1).configs(Map.of("segment.ms", "5000", "retention.ms", "-1")),
          new NewTopic("table", 1, (short) 1).configs(compacted))).all().get();
      plain();
      if (transactions) accounts();
      table(transactions);
      // 1,860 records of 43 keys were written.
      for (int round = 0; round < 60 && count("table") > 600; round++) Thread.sleep(500);
      // From here on the cleaner is to leave everything as it is.
      admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.TOPIC, "table"),
          List.of(new AlterConfigOp(new ConfigEntry("min.compaction.lag.ms", "1000000000"), AlterConfigOp.OpType.SET)))).all().get();
      Thread.sleep(2500);
      group();
      deleteRecords(admin);
    }
    print("read_uncommitted");
    print("read_committed");
    System.exit(0);
  }

  static Properties producer(String codec) {
    Properties config = new Properties();
    config.putAll(Map.of("bootstrap.servers", bootstrap, "compression.type", codec, "linger.ms", "5", "batch.size", "2000"));
    return config;
  }

  static KafkaProducer<byte[], byte[]> open(Properties config) {
    return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
  }

  static byte[] bytes(String text) {
    return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
  }

  static ProducerRecord<byte[], byte[]> record(String topic, int partition, long time, String key, String value) {
    return new ProducerRecord<>(topic, partition, time, bytes(key), bytes(value));
  }

  static void plain() {
    int number = 0;
    for (String codec : CODECS) {
      try (KafkaProducer<byte[], byte[]> producer = open(producer(codec))) {
        for (int i = 0; i < 300; i++, number++) {
          long time = START + number * 20L - (number % 7 == 0 ? 9000 : 0);
          var record = record("plain", i % 2, time, i % 5 == 0 ? null : "key-" + i % 11, i % 9 == 0 ? null : codec + "-" + "x".repeat(i % 80) + i);
          if (i % 4 == 0) record.headers().add("origin", bytes(codec)).add("empty", new byte[0]).add("none", null);
          producer.send(record);
        }
      }
    }
  }

  static void accounts() throws Exception {
    int number = 0;
    for (String codec : CODECS) {
      Properties config = producer(codec);
      config.put("transactional.id", "life-" + codec);
      try (KafkaProducer<byte[], byte[]> producer = open(config)) {
        producer.initTransactions();
        for (int t = 0; t < 8; t++) {
          producer.beginTransaction();
          for (int i = 0; i < 10; i++, number++) producer.send(record("accounts", number % 2, START + number * 100L, "a" + i, codec + t));
          producer.flush();
          if (t % 3 == 1) producer.abortTransaction();
          else producer.commitTransaction();
        }
      }
    }
    Properties config = producer("none");
    config.put("transactional.id", "life-open");
    config.put("transaction.timeout.ms", "600000");
    KafkaProducer<byte[], byte[]> open = open(config);
    open.initTransactions();
    open.beginTransaction();
    for (int i = 0; i < 5; i++) open.send(record("accounts", i % 2, START + 900_000 + i, "open", "open" + i));
    open.flush();
  }

  static void table(boolean transactions) throws Exception {
    try (KafkaProducer<byte[], byte[]> producer = open(producer("lz4"))) {
      for (int i = 0; i < 1500; i++) producer.send(record("table", 0, START + i * 10L, "k" + i % 40, i % 13 == 0 ? null : "v" + i));
    }
    if (transactions) {
      Properties config = producer("gzip");
      config.put("transactional.id", "table");
      try (KafkaProducer<byte[], byte[]> producer = open(config)) {
        producer.initTransactions();
        for (int t = 0; t < 30; t++) {
          producer.beginTransaction();
          for (int i = 0; i < 10; i++) producer.send(record("table", 0, START + 20_000 + t * 100L + i, "k" + (t + i) % 40, "t" + t));
          producer.flush();
          if (t % 4 == 3) producer.abortTransaction();
          else producer.commitTransaction();
        }
      }
    }
    try (KafkaProducer<byte[], byte[]> producer = open(producer("none"))) {
      for (int i = 0; i < 60; i++) producer.send(record("table", 0, START + 40_000 + i * 50L, "last" + i % 3, "z" + i));
    }
  }

  static void group() {
    Properties config = consumer("read_committed");
    config.put("group.id", "readers");
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      TopicPartition at = new TopicPartition("plain", 0);
      consumer.assign(List.of(at));
      for (long offset : new long[] {5, 17, 123}) consumer.commitSync(Map.of(at, new OffsetAndMetadata(offset, "at " + offset)));
    }
  }

  static void deleteRecords(Admin admin) throws Exception {
    admin.deleteRecords(Map.of(new TopicPartition("plain", 1), RecordsToDelete.beforeOffset(42))).all().get();
  }

  static Properties consumer(String isolation) {
    Properties config = new Properties();
    config.putAll(Map.of("bootstrap.servers", bootstrap, "isolation.level", isolation, "auto.offset.reset", "earliest",
        "enable.auto.commit", "false"));
    return config;
  }

  static long count(String topic) {
    return read(topic, "read_uncommitted", record -> {});
  }

  static void print(String isolation) {
    for (String topic : List.of("plain", "accounts", "table")) read(topic, isolation, record -> System.out.println(line(isolation, record)));
  }

  static long read(String topic, String isolation, java.util.function.Consumer<ConsumerRecord<byte[], byte[]>> see) {
    long count = 0;
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(consumer(isolation), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      List<TopicPartition> at = consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
      consumer.assign(at);
      consumer.seekToBeginning(at);
      Map<TopicPartition, Long> ends = consumer.endOffsets(at);
      long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
      while (System.nanoTime() < until && at.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(java.time.Duration.ofMillis(200))) {
          see.accept(record);
          count++;
        }
      }
    }
    return count;
  }

  static String line(String isolation, ConsumerRecord<byte[], byte[]> record) {
    StringJoiner headers = new StringJoiner(",", "[", "]");
    for (Header header : record.headers()) headers.add("[\"" + header.key() + "\"," + text(header.value()) + "]");
    return "{\"isolation\":\"" + isolation + "\",\"topic\":\"" + record.topic() + "\",\"partition\":" + record.partition()
        + ",\"offset\":" + record.offset() + ",\"timestamp\":" + record.timestamp() + ",\"key\":" + text(record.key())
        + ",\"value\":" + text(record.value()) + ",\"headers\":" + headers + "}";
  }

  static String text(byte[] bytes) {
    return bytes == null ? "null" : "\"" + new String(bytes, StandardCharsets.UTF_8) + "\"";
  }
}
